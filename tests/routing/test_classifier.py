"""The classifier keeps what docs/classifier.md promises, on prompts it was not trained on."""

import json
from collections import defaultdict
from pathlib import Path

import pytest

from benchmarks.train_classifier import (
    WEIGHTS_PATH,
    Trial,
    quantised,
    read_examples,
    run,
    train,
    weights_json,
)
from gateway.errors import ConfigError
from gateway.routing.classifier import HEAD_CHARS, TAIL_CHARS, Classifier, Guess

PROMPTS = Path(__file__).with_name("prompts")
SCRIPT = "林晚：你把稿子改写了？\n她没有回答，只是把灯关掉。\n"


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    return Classifier.load()


@pytest.fixture(scope="module")
def heldout(classifier: Classifier) -> list[Trial]:
    return run(classifier, read_examples("heldout"))


def ask(classifier: Classifier, content: object) -> Guess:
    return classifier.classify([{"role": "user", "content": content}], classifier.tasks)


def right(trials: list[Trial]) -> float:
    return sum(t.task == t.example.task for t in trials) / len(trials)


def test_most_held_out_prompts_get_their_task(heldout: list[Trial]) -> None:
    assert right(heldout) >= 0.88


def test_no_task_is_lost_in_either_language(heldout: list[Trial]) -> None:
    cells = defaultdict(list)
    for trial in heldout:
        cells[trial.example.task, trial.example.language].append(trial)
    assert {cell: right(trials) for cell, trials in cells.items() if right(trials) < 0.7} == {}


def test_no_template_is_in_both_parts() -> None:
    train_part, heldout_part = (
        {example.template for example in read_examples(part)} for part in ("train", "heldout")
    )
    assert train_part.isdisjoint(heldout_part)


def test_no_message_is_in_both_parts() -> None:
    train_part, heldout_part = (
        {json.dumps(example.messages) for example in read_examples(part)}
        for part in ("train", "heldout")
    )
    assert train_part.isdisjoint(heldout_part)


@pytest.mark.parametrize(("part", "prompts", "templates"), [("train", 30, 15), ("heldout", 10, 5)])
def test_each_task_is_labelled_in_both_languages(part: str, prompts: int, templates: int) -> None:
    cells = defaultdict(list)
    for example in read_examples(part):
        cells[example.task, example.language].append(example.template)
    assert len(cells) == 14
    assert min(len(found) for found in cells.values()) >= prompts
    assert min(len(set(found)) for found in cells.values()) >= templates


def test_training_again_gives_the_same_bytes() -> None:
    assert weights_json(quantised(train(read_examples("train")))) == WEIGHTS_PATH.read_bytes()


def test_chatter_is_no_task(classifier: Classifier) -> None:
    assert ask(classifier, "你好").task is None


def test_a_script_that_speaks_of_rewriting_is_not_a_request_to_rewrite(
    classifier: Classifier,
) -> None:
    assert ask(classifier, "请把下面这场拆成分镜：\n" + SCRIPT).task == "storyboard"


def test_a_forbidden_task_is_not_chosen(classifier: Classifier) -> None:
    assert ask(classifier, "不要改写，只给修改意见：\n" + SCRIPT).task == "review"


def test_a_task_that_is_not_configured_is_never_the_answer(classifier: Classifier) -> None:
    messages = [{"role": "user", "content": "请把下面这场拆成分镜：\n" + SCRIPT}]
    guess = classifier.classify(messages, {"draft", "polish"})
    assert guess.task is None
    assert guess.confidence < classifier.threshold


def test_an_instruction_at_the_end_of_a_long_message_is_found(classifier: Classifier) -> None:
    assert ask(classifier, SCRIPT * 5_000 + "\n请润色以上内容。").task == "polish"


def test_the_middle_of_a_long_message_is_not_read(classifier: Classifier) -> None:
    edges = "。" * HEAD_CHARS, "。" * TAIL_CHARS
    quiet = ask(classifier, edges[0] + "她走了。" * 50 + edges[1])
    assert ask(classifier, edges[0] + "请润色以上内容。" * 50 + edges[1]) == quiet


def test_parts_are_read_like_one_text(classifier: Classifier) -> None:
    parts = [
        {"type": "text", "text": "润色下面这段："},
        {"type": "image_url", "image_url": {"url": "https://example.com/still.png"}},
        {"type": "text", "text": SCRIPT},
    ]
    assert ask(classifier, parts) == ask(classifier, "润色下面这段：\n" + SCRIPT)


def test_only_the_last_question_counts(classifier: Classifier) -> None:
    messages = [
        {"role": "user", "content": "提取人名，返回数组。"},
        {"role": "assistant", "content": '["林晚"]'},
        {"role": "user", "content": "给这场戏出分镜：\n" + SCRIPT},
    ]
    assert classifier.classify(messages, classifier.tasks).task == "storyboard"


@pytest.mark.parametrize(
    "content", [None, "", [], 7, [None, {"type": "text"}, {"text": 3}], "。\n"]
)
def test_a_message_without_text_is_no_task(classifier: Classifier, content: object) -> None:
    guess = ask(classifier, content)
    assert guess.task is None
    assert guess.confidence < 1e-9


def test_a_message_of_nothing_but_keywords_does_not_overflow() -> None:
    words = [f"w{chr(97 + i)}" for i in range(26)]
    classifier = Classifier(["draft"], 0.5, {"<sentence>": [0], **{w: [100_000] for w in words}})
    assert ask(classifier, " ".join(words)) == Guess("draft", 1.0)


def test_a_damaged_weights_file_stops_the_start_up(tmp_path: Path) -> None:
    path = tmp_path / "weights.json"
    path.write_bytes(b'{"tasks": ["draft"], "threshold": 0.5, "weights": {"write": [1, 2]}}')
    with pytest.raises(ConfigError, match="lack a column"):
        Classifier.load(path)


def test_a_missing_weights_file_stops_the_start_up(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        Classifier.load(tmp_path / "nothing.json")
