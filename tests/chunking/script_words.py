"""The words that scripts are written with."""

from __future__ import annotations

from random import Random

NAMES = ("林晚", "顾沉舟", "沈知夏", "陆青", "王妈", "周总", "小满", "苏老太太", "阿九", "秦助理")
PLACES = (
    "医院走廊", "顾家老宅客厅", "地下车库", "天台", "江边栈道", "公司会议室", "婚纱店",
    "出租屋", "派出所门口", "雨中巷口", "拍卖行后台", "幼儿园教室", "卫生间",
)  # fmt: skip
ENGLISH_PLACES = (
    "HOSPITAL CORRIDOR", "OLD LIFT", "ROOFTOP", "CAR PARK, LEVEL 2", "JOE'S DINER", "RIVERSIDE",
)  # fmt: skip
ENGLISH_NAMES = ("MARA", "OLD HENRY", "DET. COLE (O.S.)", "NURSE (V.O.)")
ENGLISH_LINES = (
    "The lift stops between two floors and hums.",
    "You said three million. There were two.",
    "I saw episode 3 yesterday, and scene 12 made me cry.",
    "Ext. 5 of the switchboard blinks, but nobody answers.",
    "Interior lights go out one after another.",
    "It ended 1-1, so nobody was paid.",
    "Come back before the 3-15 inspection, or do not come back at all.",
)
FEELINGS = ("冷笑", "压低声音", "红着眼", "不敢置信", "轻声", "咬牙", "漫不经心", "哽咽")
ACTIONS = (
    "把合同推到{name}面前，指尖停在签名处。",
    "猛地回头，雨水顺着伞沿滴在{name}的鞋上。",
    "从{place}的阴影里走出来，手里攥着一只旧怀表。",
    "没有接电话，任由屏幕亮了又暗。",
    "看着账单上的{money}元，慢慢坐了下去。",
    "推开{place}的门，里面空无一人，只剩一盏灯还亮着。",
    "把{number}张照片一张一张摆在桌上，最后一张朝下扣着。",
)
SAYINGS = (
    "三年前你丢下我的时候，可没说过会回来。",
    "这{money}元，够不够买你一句真话？",
    "你以为我不知道{date}那天你去了哪里？",
    "别碰那扇门……她还在里面！",
    "我等了{number}年，等的就是今天。",
    "{name}，你到底有没有心？",
    "我昨天看到第{number}集，女主角可没你这么狠。",
    "比分是1-1，他们说要加时，可我已经等不下去了。",
    "行，{date}之前把钱打过来，少一分都不行！",
    "“签吧。”他当时就说了这两个字，“签完我们两清。”",
)
NOTES = (
    "【字幕：三年后】", "【黑屏】", "【字幕：{date}，{place}】", "【音效：电话铃声由远及近】",
    "【特写：{money}元的收据】", "字幕：七天前", "（切至{place}的全景）",
)  # fmt: skip
MENTIONS = (
    "第3集里他死了，观众都哭了。",
    "第三集团军的旧徽章掉在地上。",
    "第1场雨落下来的时候，街上的人散了。",
    "1-1，平局了，电视里一片嘘声。",
    "2024-1-1 的日历被人撕掉了一角。",
    "3-15 消费者权益日的海报还贴在墙上。",
    "138-1234-5678，那个号码再也打不通。",
    "1、买菜",
    "2、给王妈打电话",
    "场景一片混乱，没有人听见她的喊声。",
    "第二天，谁也没有再提起这件事。",
    "20年前的那场火，只剩一张剪报。",
)
"""Lines that begin like headings and are none."""


def chinese_line(random: Random) -> str:
    """One line: an action, a turn of dialogue, a note."""
    kind = random.random()
    name = random.choice(NAMES)
    if kind < 0.35:
        return _filled(random, f"△{name}{random.choice(ACTIONS)}")
    if kind < 0.65:
        return _filled(random, f"{name}（{random.choice(FEELINGS)}）：{random.choice(SAYINGS)}")
    if kind < 0.8:
        return _filled(random, f"{name}：{random.choice(SAYINGS)}")
    if kind < 0.9:
        return _filled(random, f"{name}（{random.choice(('OS', 'VO'))}）：{random.choice(SAYINGS)}")
    return _filled(random, random.choice(NOTES))


def _filled(random: Random, line: str) -> str:
    for word, choices in (("{name}", NAMES), ("{place}", PLACES)):
        if word in line:
            line = line.replace(word, random.choice(choices))
    if "{" not in line:
        return line
    line = line.replace("{money}", f"{random.randint(1, 900)}万")
    line = line.replace("{number}", str(random.randint(2, 30)))
    return line.replace("{date}", f"{random.randint(1, 12)}月{random.randint(1, 28)}日")


_DIGITS = "零一二三四五六七八九"


def hanzi(number: int) -> str:
    """1 to 999 as it is written: 十二, 二十, 一百零二."""
    hundreds, rest = divmod(number, 100)
    tens, ones = divmod(rest, 10)
    written = f"{_DIGITS[hundreds]}百" if hundreds else ""
    if hundreds and not tens and ones:
        written += "零"
    if tens:
        written += ("" if tens == 1 and not hundreds else _DIGITS[tens]) + "十"
    return written + (_DIGITS[ones] if ones else "")
