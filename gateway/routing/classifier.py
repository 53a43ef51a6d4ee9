"""Guesses the task of a chat request that asked for ``model: "auto"``.

A linear model over short phrases. The two ends of the last system and user message are cut into
sentences, each sentence is scored for each task, and the sentences' scores are pooled by
log-sum-exp, so one clear instruction outweighs any amount of pasted script around it. Words such
as 润色 or "storyboard" come with a weight written by hand; ``benchmarks/train_classifier.py``
moves those weights and adds the ones it learns. ``docs/classifier.md`` has the figures.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import exp, log
from operator import add
from pathlib import Path
from typing import Any, Self

import orjson

from gateway.errors import ConfigError

HEAD_CHARS = 180
TAIL_CHARS = 110
SENTENCES_AT_HEAD = 5
SENTENCES_AT_TAIL = 4
_PARTS_AT_EACH_END = 4
_HOPELESS_NATS = -100.0
_WEIGHTS_PATH = Path(__file__).with_name("classifier_weights.json")

_SENTENCE_END = re.compile(r"([。！？!?；;\n:：]+)")
_WORD = re.compile(r"[a-z][a-z']*")
_HAN = re.compile(r"[\u4e00-\u9fff]+")
# Quoted words are lines of a play, not wishes of the client.
_QUOTED = re.compile(r'“[^”\n]{0,160}”|「[^」\n]{0,160}」|"[^"\n]{0,160}"')
# 别 forbids only where a clause begins, not in 特别, 分别, 景别, 性别. Both patterns begin with
# plain characters, so that the engine can skip ahead to them.
_NEGATED_HAN = re.compile(
    r"(?:不(?:要|用|必|需要)|无需|别(?<=[\s，,。；;、：:！!？?—请也就但可先都千万]别))[再去做给]?[\u4e00-\u9fff]{2}"
)
_NEGATED_LATIN = re.compile(r"[ \n](?:don't|do not|not|no|without|instead of|rather than) [a-z]+")


@dataclass(frozen=True, slots=True)
class Guess:
    """``task`` is None below the threshold; ``confidence`` (0 to 1) belongs to the best allowed
    task either way."""

    task: str | None
    confidence: float


class Classifier:
    """Immutable after loading, so one instance serves every request.

    ``weights`` maps a feature to its log-odds in hundredths of a nat, one for each of ``tasks``;
    every sentence has the feature ``<sentence>``, the bias.
    """

    def __init__(
        self,
        tasks: Sequence[str],
        threshold: float,
        weights: Mapping[str, Sequence[int]],
    ) -> None:
        self.tasks = tuple(tasks)
        self.threshold = threshold
        self._weights = {feature: tuple(row) for feature, row in weights.items()}
        self._known = frozenset(self._weights)

    @classmethod
    def load(cls, path: Path = _WEIGHTS_PATH) -> Self:
        """Reads the weights file; ConfigError if it is missing or not one."""
        try:
            data = orjson.loads(path.read_bytes())
            tasks, threshold, weights = data["tasks"], data["threshold"], data["weights"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ConfigError(
                f"The classifier's weights {path} cannot be read: {error!r}"
            ) from error
        if "<sentence>" not in weights or any(len(row) != len(tasks) for row in weights.values()):
            raise ConfigError(f"The classifier's weights {path} lack a column or the bias.")
        return cls(tasks, threshold, weights)

    def classify(self, messages: Sequence[Mapping[str, Any]], allowed: Collection[str]) -> Guess:
        """The task of a chat request, out of the ``allowed`` ones.

        What speaks for a task that is not allowed speaks against all the others: a request for a
        storyboard does not become a draft because nobody configured storyboards.
        """
        scores = self._scores(sentences(messages))
        total = log_sum_exp([0.0, *scores])
        best, confidence = None, 0.0
        for task, score in zip(self.tasks, scores, strict=True):
            if task in allowed and exp(score - total) > confidence:
                best, confidence = task, exp(score - total)
        return Guess(best if confidence >= self.threshold else None, confidence)

    def _scores(self, found: Sequence[set[str]]) -> list[float]:
        """Log-odds of each task against "none of them", pooled over the sentences."""
        if not found:
            return [_HOPELESS_NATS] * len(self.tasks)
        rows = [self._sentence_scores(features) for features in found]
        return [log_sum_exp(column) for column in zip(*rows, strict=True)]

    def _sentence_scores(self, features: set[str]) -> list[float]:
        weights = self._weights
        rows = [weights[feature] for feature in self._known & features]
        # Integers first: a set's order changes from run to run, and a sum of floats with it.
        return [total / 100 for total in map(sum, zip(*rows, strict=True))]


def log_sum_exp(values: Sequence[float]) -> float:
    peak = max(values)
    return peak + log(sum([exp(value - peak) for value in values]))


def sentences(messages: Sequence[Mapping[str, Any]]) -> list[set[str]]:
    """The features of each sentence that is looked at: what the model is trained on and sees."""
    found: list[set[str]] = []
    for roles in (("system", "developer"), ("user",)):
        for message in reversed(messages):
            if message.get("role") in roles:
                text = _two_ends(message.get("content"))
                found += _message_sentences(text, f"<{roles[0]}>")
                break
    return found


def _two_ends(content: object) -> str:
    if isinstance(content, str):
        return _clip(content)
    if not isinstance(content, Sequence):
        return ""
    n = _PARTS_AT_EACH_END
    parts = content if len(content) <= 2 * n else [*content[:n], *content[-n:]]
    texts = [part.get("text") for part in parts if isinstance(part, Mapping)]
    return _clip("\n".join([_clip(text) for text in texts if isinstance(text, str)]))


def _clip(text: str) -> str:
    if len(text) <= HEAD_CHARS + TAIL_CHARS:
        return text
    return f"{text[:HEAD_CHARS]}\n{text[-TAIL_CHARS:]}"


def _message_sentences(text: str, role: str) -> list[set[str]]:
    text = _QUOTED.sub(" ” ", "\n" + text.lower().replace("’", "'"))
    text = _NEGATED_LATIN.sub(" ", _NEGATED_HAN.sub(" ", text))
    pieces = _SENTENCE_END.split(text.replace(". ", "\n"))
    pairs = [
        (piece, before, after)
        for before, piece, after in zip(
            ["\n", *pieces[1::2]], pieces[::2], [*pieces[1::2], "\n"], strict=True
        )
        if piece and not piece.isspace()
    ]
    count = len(pairs)
    if count > SENTENCES_AT_HEAD + SENTENCES_AT_TAIL:
        pairs = [*pairs[:SENTENCES_AT_HEAD], *pairs[-SENTENCES_AT_TAIL:]]
    last = len(pairs) - 1
    return [
        _features(piece, before, after, role, _position(index, last - index, after))
        for index, (piece, before, after) in enumerate(pairs)
    ]


def _position(from_start: int, from_end: int, after: str) -> str:
    if from_start == from_end == 0:
        return "<only, a question>" if after[0] in "?？" else "<only>"
    if from_start < 2:
        return f"<start {from_start}>"
    return f"<end {from_end}>" if from_end < 2 else "<middle>"


def _features(piece: str, before: str, after: str, *marks: str) -> set[str]:
    words = _WORD.findall(piece)
    features = {"<sentence>", *marks, *words}
    features.update(map(" ".join, pairwise(words)))
    if not piece.isascii():
        han = " ".join(_HAN.findall(piece))
        pairs = list(map(add, han, han[1:]))
        features.update(pairs, map(add, pairs, han[2:]))
        if "”" in piece:
            features.add("<quote>")
    if before[-1] in ":：":
        features.add("<after colon>")
    if after[0] in ":：":
        features.add("<before colon>")
    elif after[0] in "?？":
        features.add("<question>")
    return features
