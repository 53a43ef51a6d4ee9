"""A script of which a test knows every scene, byte by byte."""

from __future__ import annotations

from dataclasses import dataclass

LINES = (
    "△雨点敲着玻璃，她把伞收起来，没有抬头看{mark}。",
    "林晚（轻声）：你说过，{mark}的钥匙一直在你手里。",
    "沈砚：我说过很多话，你偏偏只记得{mark}这一句。",
    "△电梯门开了又合上，走廊里没有别人，只有{mark}。",
    "林晚：因为只有{mark}这一句是真的。",
    "沈砚（OS）：{mark}的事她都知道，她只是想听我自己说。",
)
DIGITS = "甲乙丙丁戊己庚辛壬癸"


@dataclass(frozen=True)
class Written:
    """A text and what it is made of; scenes are counted from 1."""

    front: str
    scenes: tuple[str, ...]

    @property
    def text(self) -> str:
        return self.front + "".join(self.scenes)

    def scene(self, number: int) -> str:
        return self.scenes[number - 1]

    def between(self, first: int, last: int) -> str:
        """These scenes and those between them."""
        return "".join(self.scenes[first - 1 : last])


def mark_of(number: int) -> str:
    """A word that is in every line of this scene but its heading, and in no other scene."""
    return "柜子" + "".join(DIGITS[int(digit)] for digit in f"{number:03d}")


def paid_in(number: int) -> str:
    """The figure in the text of a scene."""
    return f"{number * 100 + 37}元"


def written(count: int, title: str = "夜航", lines: int = 6) -> Written:
    """``count`` scenes of some 200 characters each, all different, five to an episode; ``title``
    makes every one of them another."""
    front = f"《{title}》\n人物：\n林晚：急诊科医生，三十岁。\n沈砚：律师，她的前夫。\n\n"
    return Written(front, tuple(_scene(number, title, lines) for number in range(1, count + 1)))


def _scene(number: int, title: str, lines: int) -> str:
    episode, place = divmod(number - 1, 5)
    mark = mark_of(number)
    said = [LINES[(number + at) % len(LINES)].format(mark=mark) for at in range(lines)]
    heading = f"{episode + 1}-{place + 1} 夜 内 医院走廊\n"
    told = f"△《{title}》的{mark}，赔偿金是{paid_in(number)}。\n"
    return heading + told + "".join(f"{line}\n" for line in said) + "\n"
