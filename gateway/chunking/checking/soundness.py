"""Is the text of one section what a careful hand would have made of it?"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

from .asked import Asked
from .endings import cut_short
from .faults import FaultKind
from .likeness import ALIKE, likeness, pairs_of
from .numbers import changed_numbers
from .phrases import ELLIPSIS, FENCE, OMISSION, OMISSION_WORDS, REFUSAL_WITHIN, REFUSAL_WORDS
from .squeezing import squeezed, squeezed_lines

SHORTEST, LONGEST = 0.5, 2.0
"""Length of a section's text by its source's. A polished scene has 0.8 to 1.5 of it. The cap that
a part is sent with leaves room for twice its text; half of a scene is a scene that was cut."""
SHORT_SLACK_CHARS, LONG_SLACK_CHARS = 40, 120
"""A scene of two lines may lose one or win three."""
DOUBLED, MIN_DOUBLED_CHARS = 1.6, 40
"""A text that has all of the source and so much more is old and new side by side, or twice one."""
LEAKED_CHARS = 30
"""So much of the context within a text was not written, but copied. A refrain is shorter."""
LEAKED_LINE_CHARS = 8
LOOPED_CHARS = 6
"""Shorter sentences come again in any dialogue."""
LOOPED_TIMES = 5
"""So many times more often than in the source."""
MIN_LETTERS = 20
"""Fewer do not tell a language."""
FOREIGN = 0.4
"""Share of Han characters in an answer by the source's at which it is another language; Japanese
has a third of what Chinese has."""
CHINESE = 0.5

_NOT_HAN = re.compile(r"[^\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]+")
_NOT_OTHER = re.compile(r"[^A-Za-z\u00c0-\u024f\u0370-\u1fff\u3041-\u30ff\uac00-\ud7af]+")
_SENTENCE_END = re.compile(r"[\r\n。！？!?]+")
_TAG = re.compile(r"</?(?:think|thinking|thought|answer|output)>")
_STRANGERS = (
    (OMISSION_WORDS, OMISSION, FaultKind.OMITTED, "words stand for text"),
    ("[【", ELLIPSIS, FaultKind.OMITTED, "words stand for text"),
    (REFUSAL_WORDS, REFUSAL_WITHIN, FaultKind.REFUSED, "it has words of refusal"),
    ("<", _TAG, FaultKind.THINKING, "it has a tag"),
    ("`~", FENCE, FaultKind.FENCED, "it has a fence"),
)

Finding = tuple[FaultKind, str]


def findings(asked: Asked, source: str, body: str, *, is_translated: bool) -> Iterator[Finding]:
    """What is wrong with ``body`` as the text of a section whose source is ``source``.

    NUMBERS come last, and are no reason not to use it.
    """
    old, new = squeezed(source), squeezed(body)
    if old and not new:
        yield FaultKind.EMPTY, "nothing of its text came"
        return
    yield from _strangers(asked, source, body)
    yield from _loops(old, body)
    if len(old) >= MIN_DOUBLED_CHARS and len(new) >= DOUBLED * len(old) and old in new:
        beside = pairs_of(new.replace(old, "", 1))
        if likeness(pairs_of(old), beside) >= ALIKE:
            yield FaultKind.DOUBLED, "it has the source's text, and beside it another of the same"
    lengths = [] if is_translated else list(_lengths(len(old), len(new)))
    if not lengths and (ending := cut_short(source, body)):
        yield FaultKind.TRUNCATED, ending
    if not is_translated:
        yield from _language(old, new)
        yield from lengths
        if changed := changed_numbers(source, body):
            yield FaultKind.NUMBERS, f"numbers changed: {changed}"


def _strangers(asked: Asked, source: str, body: str) -> Iterator[Finding]:
    """Words that are not part of the text."""
    lower = body.lower()
    for words, pattern, kind, what in _STRANGERS:
        if not any(word in lower for word in words):
            continue
        for match in pattern.finditer(body):
            if squeezed(match[0]) not in asked.squeezed_source:
                yield kind, f"{what}: {match[0].strip()[:60]}"
                break
    if not asked.context_lines:
        return
    copied = [
        line for line in squeezed_lines(body)
        if len(line) >= LEAKED_LINE_CHARS and line in asked.context_lines
    ]  # fmt: skip
    if sum(map(len, copied)) >= LEAKED_CHARS:
        yield FaultKind.LEAKED, f"it has lines of the context: {copied[0][:60]}"


def _loops(old: str, body: str) -> Iterator[Finding]:
    """The same sentence over and over."""
    sentences = map(str.strip, _SENTENCE_END.split(body))
    count = Counter(sentence for sentence in sentences if len(sentence) >= LOOPED_CHARS)
    for sentence, times in count.most_common(1):
        if times >= LOOPED_TIMES + old.count(squeezed(sentence)):
            yield FaultKind.LOOPED, f"{times} times: {sentence[:60]}"


def _language(old: str, new: str) -> Iterator[Finding]:
    before, after = han_share(old), han_share(new)
    if before is None or after is None:
        return
    if before >= CHINESE and after < FOREIGN * before:
        yield FaultKind.LANGUAGE, f"{after:.0%} of it is Chinese, of the source {before:.0%}"
    if after >= CHINESE and before < FOREIGN * after:
        yield FaultKind.LANGUAGE, f"{after:.0%} of it is Chinese, of the source {before:.0%}"


def han_share(text: str) -> float | None:
    """Of the letters; None if they are too few to say."""
    han = len(_NOT_HAN.sub("", text))
    letters = han + len(_NOT_OTHER.sub("", text))
    return han / letters if letters >= MIN_LETTERS else None


def _lengths(old: int, new: int) -> Iterator[Finding]:
    detail = f"{new} characters for {old}"
    if new < SHORTEST * old - SHORT_SLACK_CHARS:
        yield FaultKind.SHORT, detail
    elif new > LONGEST * old + LONG_SLACK_CHARS:
        yield FaultKind.LONG, detail
