"""Takes off what models wrap around an answer: thinking, fences, words to the user.

Everything here is certain, because it asks the source first: what the source has itself, at that
place or that often, is text. Texts come in with ``\\n`` as their line end.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from .faults import Fault, FaultKind
from .phrases import AGREEMENT, EPILOGUE, FENCE, NOTES, PREAMBLE, REFUSAL, RULE
from .squeezing import first_line, lines_of, squeezed, squeezed_lines

MAX_LAYERS = 4
"""A preamble, a fence, a preamble in the fence …"""
MAX_WORDS_CHARS = 400
"""A line of words to the user is not longer."""
MAX_EPILOGUE_LINES = 6

_OPENING = re.compile(
    r"\s*<\|?(think|thinking|thought|thoughts|reasoning|seed:think|begin_of_thought)\|?>|\s*◁think▷"
)
_CLOSING = re.compile(
    r"</(?:think|thinking|thought|thoughts|reasoning|seed:think)>|<\|end_of_thought\|>|◁/think▷"
)
_TAG = re.compile(r"\s*<(answer|output|result|response|script|text|document|polished\w*)>[ \t]*\n?")


class Mended(NamedTuple):
    text: str
    faults: tuple[Fault, ...]

    def fault(self, kind: FaultKind, detail: str, text: str) -> Mended:
        """What is left, and why something was taken off."""
        fault = Fault(kind, detail, None, True)
        return Mended(text, self.faults if fault in self.faults else (*self.faults, fault))


def unwrapped(answer: str, source: str) -> Mended:
    """The answer without its wrapping; THINKING that is not mended if it never ended."""
    mended = without_thinking(answer, source)
    own = frozenset(squeezed_lines(source))
    whole = squeezed(source)
    for _ in range(MAX_LAYERS):
        if squeezed(mended.text) == whole:
            break
        before = mended
        for take_off in (_without_fence, _without_tag):
            mended = take_off(mended, source)
        for take_off_words in (_without_preamble, _without_epilogue):
            mended = take_off_words(mended, own)
        if mended == before:
            break
    return mended


def without_thinking(answer: str, source: str) -> Mended:
    """The answer behind its thinking.

    The tag that closes it is the one behind which there are as many as in the source: thinking may
    quote the source. An answer without an opening tag went on from one in the prompt.
    """
    mended = Mended(answer, ())
    opened = _OPENING.match(answer) is not None and _OPENING.match(source) is None
    ends = [match.end() for match in _CLOSING.finditer(answer)]
    own = sum(1 for _ in _CLOSING.finditer(source))
    if len(ends) > own and (opened or not own):
        end = ends[len(ends) - own - 1]
        return mended.fault(
            FaultKind.THINKING, f"{end} characters of thinking in tags", answer[end:]
        )
    if opened:
        fault = Fault(FaultKind.THINKING, "thinking that never ended", None, False)
        return Mended("", (fault,))
    return mended


def _without_fence(mended: Mended, source: str) -> Mended:
    """Takes off one fence around all, or the half of one."""
    text = mended.text
    fences = list(FENCE.finditer(text))
    surplus = len(fences) - sum(1 for _ in FENCE.finditer(source))
    if surplus == 1:
        return _without_half_a_fence(mended, fences, source)
    if surplus != 2:
        return mended
    inner = text[fences[0].end() : fences[-1].start()]
    outside = text[: fences[0].start()] + text[fences[-1].end() :]
    if len(squeezed(outside)) > max(MAX_WORDS_CHARS, len(squeezed(inner))):
        return mended
    return mended.fault(FaultKind.FENCED, "a fence around the whole answer", inner.strip("\n"))


def _without_half_a_fence(mended: Mended, fences: list[re.Match[str]], source: str) -> Mended:
    """One that was never closed, closed behind the last word, or only closed."""
    text = mended.text
    if not squeezed(text[: fences[0].start()]):
        inner = text[fences[0].end() :].strip("\n")
        if inner.rstrip().endswith("```") and not source.rstrip().endswith("```"):
            inner = inner.rstrip().removesuffix("```")
    elif not squeezed(text[fences[-1].end() :]):
        inner = text[: fences[-1].start()].rstrip("\n")
    else:
        return mended
    return mended.fault(FaultKind.FENCED, "half a fence around the answer", inner)


def _without_tag(mended: Mended, source: str) -> Mended:
    """``<answer>…</answer>``."""
    tag = _TAG.match(mended.text)
    if tag is None or f"<{tag[1]}>" in source:
        return mended
    inner, closing, rest = mended.text[tag.end() :].rpartition(f"</{tag[1]}>")
    if not closing or rest.strip():
        return mended
    return mended.fault(FaultKind.FENCED, f"<{tag[1]}> around the whole answer", inner.strip("\n"))


def _without_preamble(mended: Mended, own: frozenset[str]) -> Mended:
    """Takes off leading lines as long as they are words to the user; one of them must say so."""
    end, is_certain = 0, False
    agreed = False
    for line in lines_of(mended.text):
        if not line[0].strip():
            continue
        if squeezed(line[0]) in own or len(line[0]) > MAX_WORDS_CHARS:
            break
        if PREAMBLE.match(line[0]) and not REFUSAL.match(line[0]):
            is_certain = True
        elif RULE.match(line[0]):
            is_certain = is_certain or agreed
        elif AGREEMENT.match(line[0]):
            agreed = True
        else:
            break
        end = line.end()
    if not end or not is_certain:
        return mended
    return mended.fault(
        FaultKind.PREAMBLE, shown(mended.text[:end]), mended.text[end:].lstrip("\n")
    )


def _without_epilogue(mended: Mended, own: frozenset[str]) -> Mended:
    """Takes off notes on the work under a heading, or the last lines that are for the user."""
    text = mended.text
    start = _notes_start(text, own)
    if start is None:
        start = _last_words_start(text, own)
    if start is None:
        return mended
    return mended.fault(FaultKind.EPILOGUE, shown(text[start:]), text[:start].rstrip("\n"))


def _last_words_start(text: str, own: frozenset[str]) -> int | None:
    """Where the last lines begin of which each is for the user, with the rule above them."""
    start = None
    last = [line for line in lines_of(text) if line[0].strip()][-MAX_EPILOGUE_LINES:]
    for line in reversed(last):
        if squeezed(line[0]) in own or len(line[0]) > MAX_WORDS_CHARS:
            break
        is_rule = RULE.match(line[0]) is not None
        if EPILOGUE.match(line[0]) or (is_rule and start is not None):
            start = line.start()
        elif not is_rule:
            break
    return start


def _notes_start(text: str, own: frozenset[str]) -> int | None:
    """Where notes on the work begin: a heading of theirs behind a rule or a blank line."""
    for match in NOTES.finditer(text):
        line = first_line(text[match.start() : match.start() + MAX_WORDS_CHARS])
        before = text[: match.start()].rstrip()
        last = before[before.rfind("\n") + 1 :]
        is_rule = RULE.match(last) is not None
        is_apart = is_rule or text.count("\n", len(before), match.start()) > 1
        if is_apart and squeezed(line) not in own:
            return len(before) - len(last) if is_rule else match.start()
    return None


def shown(text: str) -> str:
    """The beginning of what was taken off."""
    text = " ".join(text.split())
    return text if len(text) <= 60 else text[:59] + "…"
