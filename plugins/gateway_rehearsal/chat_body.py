"""The part of a chat request that the stand-in looks at, checked the way the real API would."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from .replies import bad_request


class _Part(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True)


class Function(_Part):
    name: str
    parameters: Any = Field(default_factory=dict)


class Tool(_Part):
    function: Function


class NamedFunction(_Part):
    name: str


class NamedTool(_Part):
    function: NamedFunction


class JsonSchema(_Part):
    schema_: Any = Field(default_factory=dict, alias="schema")


class ResponseFormat(_Part):
    type: str
    json_schema: JsonSchema = Field(default_factory=JsonSchema)


class StreamOptions(_Part):
    include_usage: bool = False


class ChatBody(_Part):
    """Fields that are not named here change nothing about the answer."""

    model: str
    messages: list[dict[str, Any]] = Field(min_length=1)
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: int | None = Field(None, ge=1)
    max_completion_tokens: int | None = Field(None, ge=1)
    stop: str | list[str] | None = None
    seed: int | None = None
    n: Literal[1] | None = None
    tools: list[Tool] | None = None
    tool_choice: Literal["auto", "none", "required"] | NamedTool | None = None
    response_format: ResponseFormat | None = None

    @property
    def wants_usage(self) -> bool:
        return self.stream_options is not None and self.stream_options.include_usage

    @property
    def cap_tokens(self) -> int | None:
        return self.max_completion_tokens or self.max_tokens

    @property
    def stops(self) -> list[str]:
        return [self.stop] if isinstance(self.stop, str) else self.stop or []


def read_chat_body(body: Mapping[str, Any]) -> ChatBody:
    """Raises Refusal with a 400 that names the first wrong field."""
    try:
        return ChatBody.model_validate(body)
    except ValidationError as error:
        wrong = error.errors(include_url=False)[0]
        where = ".".join(map(str, wrong["loc"]))
        raise bad_request(f"{where}: {wrong['msg']}.", str(wrong["loc"][0])) from None
