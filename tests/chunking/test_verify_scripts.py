"""Faults in the answers to whole scripts, in every style of heading: only what is bad is lost."""

import re
from collections.abc import Callable
from random import Random

import pytest

from gateway.chunking.verify import FaultKind

from .answers_to_parts import Asked, mended, missing, open_faults
from .scripts import STYLES, write_script

STYLE = pytest.mark.parametrize("style", STYLES)
POLISHED = pytest.mark.parametrize("is_polished", [False, True], ids=["echo", "polished"])
_WORDS = re.compile(r"(?<=[\u4e00-\u9fff])[的了在着过到把被又就](?=[\u4e00-\u9fff])")


class Answer:
    """An answer to all of a script, and the scene in it that goes wrong."""

    def __init__(self, style: str, is_polished: bool, seed: int = 3) -> None:
        self.asked = Asked(write_script(style, episodes=2, scenes=3, seed=seed, scene_chars=250))
        self.texts = self.asked.texts()
        if is_polished:
            self.texts = [self._polished(index) for index in range(len(self.texts))]
        scenes = [i for i in range(len(self.texts)) if self._body(i).strip()][1:]
        self.scene = Random(f"{style} {seed}").choice(scenes[:-1])

    def _heading(self, index: int) -> str:
        section = self.asked.sections[index]
        return self.asked.script.text[section.start : section.heading_end]

    def _body(self, index: int) -> str:
        return self.texts[index][len(self._heading(index)) :]

    def _polished(self, index: int) -> str:
        body = _WORDS.sub("", self._body(index)).replace(" the ", " a ")
        return self._heading(index) + body

    def with_scene(self, write: Callable[[str, str], str]) -> str:
        """The answer with another text for its scene, made of its heading and its body."""
        text = write(self._heading(self.scene), self._body(self.scene))
        return "".join([*self.texts[: self.scene], text, *self.texts[self.scene + 1 :]])

    def others(self) -> list[str]:
        return self.texts[: self.scene] + self.texts[self.scene + 1 :]

    def kept(self, texts: tuple[str | None, ...]) -> list[str | None]:
        return [*texts[: self.scene], *texts[self.scene + 1 :]]


@STYLE
@POLISHED
def test_a_whole_answer_is_taken(style, is_polished):
    answer = Answer(style, is_polished)
    checked = answer.asked.check("".join(answer.texts))
    assert list(checked.texts) == answer.texts
    assert checked.faults == ()


@STYLE
@POLISHED
def test_a_lost_scene_is_missing(style, is_polished):
    answer = Answer(style, is_polished)
    checked = answer.asked.check(answer.with_scene(lambda heading, body: ""))
    assert missing(checked) == [answer.scene]
    assert answer.kept(checked.texts) == answer.others()


@STYLE
@POLISHED
def test_a_scene_that_comes_twice_is_taken_once(style, is_polished):
    answer = Answer(style, is_polished)
    checked = answer.asked.check(answer.with_scene(lambda heading, body: (heading + body) * 2))
    assert list(checked.texts) == answer.texts
    assert mended(checked) == [FaultKind.DOUBLED]
    assert open_faults(checked) == []


@STYLE
@POLISHED
def test_scenes_that_are_swapped_are_put_in_order(style, is_polished):
    answer = Answer(style, is_polished)
    texts, k = list(answer.texts), answer.scene
    texts[k], texts[k + 1] = texts[k + 1], texts[k]
    checked = answer.asked.check("".join(texts))
    assert [text and text.split() for text in checked.texts] == [t.split() for t in answer.texts]
    assert set(mended(checked)) == {FaultKind.SWAPPED}


@STYLE
@POLISHED
def test_a_scene_that_lost_its_heading_is_not_merged_into_another(style, is_polished):
    answer = Answer(style, is_polished)
    checked = answer.asked.check(answer.with_scene(lambda heading, body: body))
    above = answer.asked.sections[answer.scene - 1]
    assert answer.scene in missing(checked) or above.heading_end == above.end
    for new, text in zip(checked.texts, answer.texts, strict=True):
        assert new in (None, text)
    assert len(missing(checked)) <= 2


@STYLE
@POLISHED
def test_a_cut_answer_keeps_the_scenes_before_the_cut(style, is_polished):
    answer = Answer(style, is_polished)
    whole = "".join(answer.texts)
    start = len("".join(answer.texts[: answer.scene]))
    checked = answer.asked.check(whole[: start + len(answer.texts[answer.scene]) // 2], "length")
    assert list(checked.texts[: answer.scene]) == answer.texts[: answer.scene]
    assert set(checked.texts[answer.scene :]) == {None}
    assert {kind for kind, _ in open_faults(checked)} == {FaultKind.LENGTH}


@STYLE
def test_a_rewritten_scene_leaves_the_others_as_they_are(style):
    answer = Answer(style, is_polished=False)
    checked = answer.asked.check(
        answer.with_scene(
            lambda heading, body: heading + body.rstrip() + "\n△灯灭了，没有人动。\n\n"
        )
    )
    assert missing(checked) == []
    assert answer.kept(checked.texts) == answer.others()
    assert "△灯灭了，没有人动。" in checked.texts[answer.scene]
