"""Numbers are compared by value, however they are written."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.chunking.checking.numbers import changed_numbers, numbers_of

from .script_words import hanzi


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("3,000,000", "3000000"),
        ("３，０００，０００", "3000000"),
        ("300万", "3000000"),
        ("三百万", "3000000"),
        ("3百万", "3000000"),
        ("三千万", "30000000"),
        ("一亿二千万", "120000000"),
        ("1亿2千万", "120000000"),
        ("2.5万", "25000"),
        ("两万五", "25000"),
        ("2万5", "25000"),
        ("三点五亿", "350000000"),
        ("二〇二六", "2026"),
        ("一九九八", "1998"),
        ("一百零二", "102"),
        ("十二", "12"),
        ("二十", "20"),
        ("廿", None),
        ("007", "7"),
        ("百分之三十", "30"),
        ("三岁", "3"),
        ("一个", None),
        ("千万别去", None),
        ("万一", None),
        ("七八个", None),
        ("一一", None),
        ("乱七八糟", None),
        ("十分", None),
    ],
)
def test_a_number_has_a_value(written, value):
    expected = {} if value is None else {Decimal(value): 1}
    assert numbers_of(written).firm == expected


@pytest.mark.parametrize(
    ("source", "answer", "changes"),
    [
        ("欠了三百万。", "欠了300万元。", ""),
        ("欠了三百万。", "欠了3,000,000元。", ""),
        ("第三集，她二十八岁。", "第3集，她28岁。", ""),
        ("他有两个孩子。", "他有2个孩子。", ""),
        ("等了三天。", "等了3天。", ""),
        ("千万别去，万一呢。", "绝对别去，要是呢。", ""),
        ("欠了三百万。", "欠了两百万。", "三百万 → 两百万"),
        ("5岁，6岁", "5岁", "6 → nothing"),
        ("他走了。", "他走了1200米。", "nothing → 1200"),
        ("3:30 见，还有 3 分钟", "3:30 见", "3 → nothing"),
        ("1 2 3 4 5 6 7", "", "".join(f"{n} → nothing; " for n in range(1, 6)) + "2 more"),
    ],
)  # fmt: skip
def test_changes_are_told(source, answer, changes):
    assert changed_numbers(source, answer) == changes


@given(st.integers(10, 999))
def test_chinese_numerals_are_the_digits_they_stand_for(number):
    assert changed_numbers(f"共{hanzi(number)}人", f"共{number}人") == ""
    assert changed_numbers(f"共{number}人", f"共{number:,}人") == ""


@given(st.text("0123456789０９,，.．〇一二两三十百千万亿点岁元年 第%", max_size=40))
def test_any_text_is_equal_to_itself(text):
    assert changed_numbers(text, text) == ""


def test_long_runs_of_digits_are_compared_as_they_are_written():
    card = "6222" + "0" * 30 + "17"
    assert changed_numbers(card, card.translate(str.maketrans("0", "０"))) != ""
    assert changed_numbers(f"卡号{card}", f"卡号是{card}") == ""
    assert changed_numbers("9" * 50_000 + "万" * 50_000, "") != ""
