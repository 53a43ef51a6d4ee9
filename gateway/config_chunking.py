"""What a task may say of scripts that are longer than its models."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Mode = Literal["off", "map", "refine", "reduce"]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ContextConfig(_Model):
    """What a part is told of the rest of the script, to be read and never to be answered."""

    bible: bool = True
    """Those characters of the script's own list who are in the part."""
    last_lines: int = Field(6, ge=0, le=100)
    """Of the text before it."""
    next_heading: bool = True
    """Of what comes after it."""


class ChunkingConfig(_Model):
    """How a call of the task is cut into parts where its script does not fit."""

    mode: Mode = "off"
    """``map``: all parts side by side; ``refine``: one after the other, each told how the answer
    before it ends; ``reduce``: their answers are put into one by the model; ``off``: never."""
    budget_tokens: int = Field(4000, ge=50, le=1_000_000)
    """Of script in a part at most; less where the model or its cap on output is smaller."""
    context: ContextConfig = ContextConfig()
    pool: int = Field(8, ge=1, le=64)
    """Parts of one call that are under way at the same time."""
    answer: Literal["script", "text"] | None = None
    """``script``: the answer to a part has the part's scenes, in their order, at about their
    length, and is checked for that; ``text``: it is something else. None: text for ``reduce``,
    else script."""
    deadline_s: float = Field(3600.0, gt=0)
    """For all parts together; the task's own deadline is each part's."""
    keep_s: float = Field(3600.0, ge=0)
    """How long the answer to a part is kept for a call that asks for the same part again."""

    @property
    def keeps_scenes(self) -> bool:
        return self.answer == "script" if self.answer else self.mode != "reduce"
