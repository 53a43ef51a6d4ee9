"""Trains, measures and times the task classifier; for development only.

    python -m benchmarks.train_classifier                     write the weights
    python -m benchmarks.train_classifier --cross-validate    accuracy within the training part
    python -m benchmarks.train_classifier --report            accuracy on the held-out part
    python -m benchmarks.train_classifier --bench             microseconds per decision

Settings are chosen by cross-validation, which holds out whole templates; the held-out part is
for the report only.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import exp, sqrt
from pathlib import Path
from typing import Any

import orjson
import yaml

from gateway.routing.classifier import Classifier, log_sum_exp, sentences

ROOT = Path(__file__).resolve().parent.parent
PROMPTS = ROOT / "tests" / "routing" / "prompts"
KEYWORDS_PATH = Path(__file__).with_name("classifier_keywords.yaml")
WEIGHTS_PATH = ROOT / "gateway" / "routing" / "classifier_weights.json"

SEED = 20261122
EPOCHS = 8
LEARNING_RATE = 0.1
SHRINKAGE = 0.04
THRESHOLD = 0.5
MIN_TEMPLATES = 2
DROP_BELOW_NATS = 0.12
FOLDS = 6

# The rules are in KEYWORDS_PATH; this is what they are worth before the first example is seen.
PHRASE_NATS = {"hint": 3.0, "strong": 6.0, "decisive": 9.0}
CHATTER_NATS = -3.0

KEYWORDS: dict[str, Any] = yaml.safe_load(KEYWORDS_PATH.read_text(encoding="utf-8"))
TASKS = tuple(KEYWORDS["tasks"])


@dataclass(frozen=True, slots=True)
class Example:
    task: str | None
    language: str
    template: str
    messages: Sequence[dict[str, Any]]
    sentences: Sequence[Sequence[str]]
    """The features of each sentence, sorted: a set's order changes from run to run."""


Weights = dict[str, list[float]]


def read_examples(split: str) -> list[Example]:
    rows = map(orjson.loads, (PROMPTS / f"{split}.jsonl").read_bytes().splitlines())
    return [
        Example(
            row["task"],
            row["language"],
            row["template"],
            row["messages"],
            [sorted(features) for features in sentences(row["messages"])],
        )
        for row in rows
    ]


def keyword_weights() -> Weights:
    """Columns are in the order of ``TASKS``; a phrase may speak for several tasks."""
    weights: Weights = defaultdict(lambda: [0.0] * len(TASKS))
    for column, task in enumerate(TASKS):
        for strength, nats in PHRASE_NATS.items():
            for phrase in KEYWORDS["tasks"][task].get(strength, ()):
                weights[phrase][column] = nats
    for phrase in KEYWORDS["chatter"]:
        weights[phrase] = [CHATTER_NATS] * len(TASKS)
    return dict(weights)


def vocabulary(examples: Iterable[Example]) -> set[str]:
    """Features of at least ``MIN_TEMPLATES`` templates: one template's wording is an accident."""
    templates: dict[str, set[str]] = defaultdict(set)
    for example in examples:
        for features in example.sentences:
            for feature in features:
                templates[feature].add(example.template)
    return {feature for feature, seen in templates.items() if len(seen) >= MIN_TEMPLATES}


def pasted(examples: Iterable[Example]) -> set[tuple[str, ...]]:
    """Sentences that several templates share word for word: script around an instruction."""
    templates: dict[tuple[str, ...], set[str]] = defaultdict(set)
    for example in examples:
        for features in example.sentences:
            templates[_words(features)].add(example.template)
    return {words for words, seen in templates.items() if len(seen) > 1}


def _words(features: Iterable[str]) -> tuple[str, ...]:
    return tuple(f for f in features if not f.startswith("<"))


def training_bags(examples: Sequence[Example]) -> list[tuple[Sequence[Sequence[str]], int | None]]:
    """Sentences and the column of their task; None for none.

    Each example comes a second time without its instruction, as nobody's task: what is left is
    script, and script must not vote.
    """
    columns = {task: column for column, task in enumerate(TASKS)}
    script = pasted(examples)
    bags: list[tuple[Sequence[Sequence[str]], int | None]] = []
    for example in examples:
        bags.append((example.sentences, columns.get(example.task or "")))
        rest = [features for features in example.sentences if _words(features) in script]
        if rest:
            bags.append((rest, None))
    return bags


def train(examples: Sequence[Example]) -> Weights:
    """Stochastic gradient ascent (AdaGrad) on the log-likelihood, shrinking towards the rules."""
    prior = keyword_weights()
    zeros = [0.0] * len(TASKS)
    names = sorted(vocabulary(examples) | prior.keys())
    weights = {name: list(prior.get(name, zeros)) for name in names}
    squares = {name: [1e-6] * len(TASKS) for name in names}
    bags = [
        ([[f for f in features if f in weights] for features in bag], target)
        for bag, target in training_bags(examples)
    ]
    order = random.Random(SEED)
    for _ in range(EPOCHS):
        order.shuffle(bags)
        for bag, target in bags:
            _learn(bag, target, weights, squares, prior)
    return weights


def _learn(
    bag: Sequence[Sequence[str]],
    target: int | None,
    weights: Weights,
    squares: Weights,
    prior: Weights,
) -> None:
    """One step: each sentence answers for the error in proportion to its share of the score."""
    scores = [
        [sum(column) for column in zip(*[weights[f] for f in features], strict=True)]
        for features in bag
    ]
    pooled = [log_sum_exp(column) for column in zip(*scores, strict=True)]
    total = log_sum_exp([0.0, *pooled])
    for column, score in enumerate(pooled):
        error = (column == target) - exp(score - total)
        for features, row in zip(bag, scores, strict=True):
            gradient = error * exp(row[column] - score)
            if abs(gradient) < 1e-3:
                continue
            for feature in features:
                weight = weights[feature]
                pull = weight[column] - (prior[feature][column] if feature in prior else 0.0)
                step = gradient - SHRINKAGE * pull
                squares[feature][column] += step * step
                weight[column] += LEARNING_RATE * step / sqrt(squares[feature][column])


def quantised(weights: Weights) -> dict[str, list[int]]:
    """Hundredths of a nat, without the features that hardly matter."""
    return {
        feature: [round(100 * value) for value in row]
        for feature, row in sorted(weights.items())
        if max(map(abs, row)) >= DROP_BELOW_NATS or feature == "<sentence>"
    }


def weights_json(weights: dict[str, list[int]]) -> bytes:
    """One feature a line, so that a retraining can be read as a diff."""
    lines = [
        f"{json.dumps(feature, ensure_ascii=False)}: {json.dumps(row)}"
        for feature, row in weights.items()
    ]
    head = json.dumps({"tasks": list(TASKS), "threshold": THRESHOLD})[:-1]
    return (head + ', "weights": {\n' + ",\n".join(lines) + "\n}}\n").encode()


def classifier_of(weights: Weights) -> Classifier:
    return Classifier(list(TASKS), THRESHOLD, quantised(weights))


@dataclass(frozen=True, slots=True)
class Trial:
    example: Example
    task: str | None
    confidence: float


def run(classifier: Classifier, examples: Iterable[Example]) -> list[Trial]:
    guesses = [(e, classifier.classify(e.messages, classifier.tasks)) for e in examples]
    return [Trial(e, guess.task, guess.confidence) for e, guess in guesses]


def cross_validate(examples: Sequence[Example]) -> list[Trial]:
    """Each template is judged by a model that never saw it."""
    templates = sorted({e.template for e in examples})
    random.Random(SEED).shuffle(templates)
    trials = []
    for fold in range(FOLDS):
        judged = set(templates[fold::FOLDS])
        model = classifier_of(train([e for e in examples if e.template not in judged]))
        trials += run(model, [e for e in examples if e.template in judged])
    return trials


def print_table(trials: Sequence[Trial]) -> None:
    groups: dict[str, Counter[str]] = defaultdict(Counter)
    for t in trials:
        group = groups[t.example.task or "none"]
        group[f"{t.example.language} right"] += t.task == t.example.task
        group[t.example.language] += 1
        group["no answer"] += t.task is None and t.example.task is not None
    print("| task | Chinese | English | fell back to the default |\n|---|---|---|---|")
    for task, g in groups.items():
        zh, en = (f"{g[f'{x} right'] / g[x]:.2f} ({g[f'{x} right']}/{g[x]})" for x in ("zh", "en"))
        print(f"| {task} | {zh} | {en} | {g['no answer']} |")
    right = sum(t.task == t.example.task for t in trials)
    wrong = sum(t.task not in (None, t.example.task) for t in trials)
    print(f"\nright {right}/{len(trials)} = {right / len(trials):.3f}; wrong task {wrong}")


def print_errors(trials: Iterable[Trial]) -> None:
    for t in trials:
        if t.task != t.example.task:
            print(f"{t.example.task} -> {t.task} {t.confidence:.2f}: {t.example.template!r}")


def bench(classifier: Classifier) -> None:
    """Microseconds per decision, the best of thirty short runs."""
    scene = "林晚：你把稿子改写了？\n她没有回答，只是把灯关掉。\n"
    line = "MARA: You rewrote it? She says nothing and turns off the light.\n"
    for name, text in {
        "short, Chinese": "请帮我润色一下这场戏的对白：" + scene,
        "short, English": "Please polish the dialogue of this scene. " + line,
        "1 MB, Chinese": "请帮我润色一下这场戏的对白：\n" + scene * 12_500,
        "1 MB, English": "Please polish the dialogue of this scene.\n" + line * 16_000,
    }.items():
        system = {"role": "system", "content": "你是短剧编辑。You edit short dramas."}
        print(f"{name}: {_best_us(classifier, [system, {'role': 'user', 'content': text}]):.0f} us")


def _best_us(classifier: Classifier, messages: Sequence[dict[str, str]]) -> float:
    repeats, best_s = 200, float("inf")
    for _ in range(30):
        started_s = time.perf_counter()
        for _ in range(repeats):
            classifier.classify(messages, classifier.tasks)
        best_s = min(best_s, time.perf_counter() - started_s)
    return best_s / repeats * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    for flag in ("--cross-validate", "--report", "--bench", "--errors"):
        parser.add_argument(flag, action="store_true")
    options = parser.parse_args()
    if options.bench:
        return bench(Classifier.load())
    if options.report:
        return print_table(run(Classifier.load(), read_examples("heldout")))
    examples = read_examples("train")
    if options.cross_validate:
        trials = cross_validate(examples)
        print_table(trials)
        return print_errors(trials) if options.errors else None
    WEIGHTS_PATH.write_bytes(weights_json(quantised(train(examples))))
    return None


if __name__ == "__main__":
    main()
