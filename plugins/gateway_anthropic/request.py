"""An OpenAI chat body to the body of ``POST /v1/messages``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from gateway import CallError, ChatRequest, Outcome, ProviderSettings

from .fields import Object, lost, object_of, objects, text_of
from .messages import read_messages
from .parts import Dropped
from .thinking import read_thinking

JSON_INSTRUCTION = (
    "Answer with one valid JSON object and nothing else: no words around it, no code fence."
)
"""Stands in for ``json_object``: the API's structured output wants a schema that closes every
object, so it cannot promise an open one."""

MAX_UNSTREAMED_TOKENS = 21_333
"""What the vendor's SDK expects within ten minutes: anthropic-python 2.12
``_calculate_nonstreaming_timeout``, 128,000 tokens an hour."""


class Settings(ProviderSettings):
    """``base_url`` is given without ``/v1``."""

    anthropic_version: str = "2026-10-21"
    """From 2026-10-21 on, ``temperature``, ``top_p`` and ``top_k`` are refused, so they are dropped
    and named. ``2023-06-01`` sends them, for the models that still take them."""
    default_max_output_tokens: int = Field(16_384, gt=0)
    """The API insists on a cap. This one is sent where neither the client, nor the task, nor the
    model sets any; it is below what has to be streamed."""
    thinking_display: Literal["summarized", "omitted"] | None = None
    """Whether thinking that ``reasoning_effort`` asked for can be read; None leaves it to the
    model's own default. It is billed alike."""
    system_messages: Literal["hoist", "in_place"] = "hoist"
    """Where system messages in the middle of a conversation go. Every model reads them at the top;
    newer ones take them in place, which keeps the prompt cache warm in front of them."""

    @property
    def takes_sampling(self) -> bool:
        return self.anthropic_version == "2023-06-01"


def build_body(request: ChatRequest, settings: Settings) -> tuple[Object, tuple[str, ...]]:
    """The upstream's body, and the names of the client's fields that it has no place for."""
    body = request.body
    _refuse(body)
    dropped: Dropped = set()
    system, turns = read_messages(
        body.get("messages"), dropped, system_in_place=settings.system_messages == "in_place"
    )
    output_format = _output_format(body, dropped)
    if output_format == "json_object":
        system.append({"type": "text", "text": JSON_INSTRUCTION})
        output_format = None
    upstream: Object = {
        "model": request.model,
        "max_tokens": max_tokens_of(request, settings),
        **({"system": system} if system else {}),
        "messages": turns,
        **_tools(body),
        **read_thinking(body, turns, settings.thinking_display, dropped),
        **_output_config(body, output_format),
        **_stop(body, dropped),
        **_who(body, dropped),
        **_service_tier(body, dropped),
        **_sampling(body, dropped, settings),
        **{name: body[name] for name in _NATIVE if body.get(name) is not None},
        **({"stream": True} if request.stream else {}),
    }
    dropped.update(
        name
        for name, said in body.items()
        if name not in _CARRIED and said is not None and said != _MEANINGLESS.get(name)
    )
    return upstream, tuple(sorted(dropped))


_NATIVE = (
    "cache_control", "container", "diagnostics", "inference_geo", "speed", "user_profile_id",
)  # fmt: skip
"""Anthropic's own fields that OpenAI does not have: a client that sends them means them."""

_CARRIED = frozenset({
    *_NATIVE,
    "model", "messages", "stream", "stream_options", "max_tokens", "max_completion_tokens",
    "tools", "tool_choice", "parallel_tool_calls", "response_format", "reasoning_effort",
    "thinking", "output_config", "stop", "user", "safety_identifier", "metadata", "service_tier",
    "temperature", "top_p", "top_k", "n", "modalities", "functions", "function_call",
})  # fmt: skip

_MEANINGLESS: Mapping[str, Any] = {
    "frequency_penalty": 0,
    "presence_penalty": 0,
    "logit_bias": {},
    "logprobs": False,
    "top_logprobs": 0,
    "store": False,
    "verbosity": "medium",
}
"""Values that ask for what happens anyway."""


def _refuse(body: Mapping[str, Any]) -> None:
    for field, wanted, why in (
        ("n", (None, 1), "Anthropic gives one answer to a call; send n calls"),
        ("modalities", (None, [], ["text"]), "Anthropic answers in text only"),
        ("functions", (None, []), "functions are not translated for Anthropic; use tools"),
        ("function_call", (None, "none", "auto"), "use tool_choice instead of function_call"),
    ):
        if body.get(field) not in wanted:
            raise CallError(Outcome.UNSUPPORTED, why, param=field)


def max_tokens_of(request: ChatRequest, settings: Settings) -> int:
    asked = request.max_output_tokens
    for name in ("max_completion_tokens", "max_tokens"):
        asked = request.body.get(name) if asked is None else asked
    if asked is None:
        return settings.default_max_output_tokens
    if not isinstance(asked, int):
        raise CallError(Outcome.INVALID_REQUEST, "a whole number is wanted", param="max_tokens")
    return asked


# Tools


def _tools(body: Mapping[str, Any]) -> Object:
    asked = objects(body.get("tools"), "tools")
    tools = [_tool(tool, f"tools[{number}]") for number, tool in enumerate(asked)]
    choice = _tool_choice(body.get("tool_choice"))
    if tools and body.get("parallel_tool_calls") is False and choice.get("type") != "none":
        choice = {"type": "auto", **choice, "disable_parallel_tool_use": True}
    if not tools and choice.get("type") in ("auto", "none"):
        choice = {}  # says nothing where there is nothing to choose from
    return {
        **({"tools": tools} if tools else {}),
        **({"tool_choice": choice} if choice else {}),
    }


def _tool(tool: Object, where: str) -> Object:
    if tool.get("type") == "custom" and "custom" in tool:
        raise CallError(
            Outcome.UNSUPPORTED, "Anthropic has no free-form tools; use a function", param=where
        )
    if tool.get("type") != "function":
        return tool  # one of Anthropic's own
    function = object_of(tool.get("function"), f"{where}.function")
    described = {name: function[name] for name in ("description", "strict") if function.get(name)}
    return {
        **{name: value for name, value in tool.items() if name not in ("type", "function")},
        "name": text_of(function.get("name"), f"{where}.function.name"),
        **described,
        "input_schema": function.get("parameters") or {"type": "object", "properties": {}},
    }


def _tool_choice(choice: Any) -> Object:
    if choice is None:
        return {}
    if choice in ("auto", "none"):
        return {"type": choice}
    if choice == "required":
        return {"type": "any"}
    if isinstance(choice, dict) and isinstance(function := choice.get("function"), dict):
        return {"type": "tool", "name": text_of(function.get("name"), "tool_choice.function.name")}
    raise CallError(
        Outcome.UNSUPPORTED,
        "Anthropic's tool_choice is auto, none, required or one named function",
        param="tool_choice",
    )


# Effort and structured output


def _output_config(body: Mapping[str, Any], output_format: Any) -> Object:
    """The client's own ``output_config`` goes before what its OpenAI fields say."""
    config: Object = {}
    effort = body.get("reasoning_effort")
    if effort and effort != "none":
        config["effort"] = "low" if effort == "minimal" else effort
    if output_format:
        config["format"] = output_format
    config.update(object_of(body.get("output_config") or {}, "output_config"))
    return {"output_config": config} if config else {}


def _output_format(body: Mapping[str, Any], dropped: Dropped) -> Any:
    """A native format, ``json_object`` where only an instruction helps, or None.

    The schema travels as it is: where the API's subset of JSON schema is narrower than the
    client's, the upstream says so itself.
    """
    wanted = object_of(body.get("response_format") or {}, "response_format")
    kind = wanted.get("type", "text")
    if kind not in ("text", "json_object", "json_schema"):
        raise CallError(
            Outcome.UNSUPPORTED, f"Anthropic has no {kind!r} format", param="response_format"
        )
    if kind != "json_schema":
        return "json_object" if kind == "json_object" else None
    schema = object_of(wanted.get("json_schema"), "response_format.json_schema")
    if schema.get("description"):
        dropped.add("response_format.json_schema.description")
    if not schema.get("schema"):
        return "json_object"
    return {"type": "json_schema", "schema": schema["schema"]}


# The rest


def _stop(body: Mapping[str, Any], dropped: Dropped) -> Object:
    stop = body.get("stop") or []
    stop = [stop] if isinstance(stop, str) else stop
    if not isinstance(stop, list):
        raise CallError(
            Outcome.INVALID_REQUEST, "a string or a list of strings is wanted", param="stop"
        )
    # The API refuses stop sequences of white space only.
    kept = [text for text in stop if text_of(text, "stop").strip()]
    if len(kept) < len(stop):
        dropped.add("stop")
    return {"stop_sequences": kept} if kept else {}


def _who(body: Mapping[str, Any], dropped: Dropped) -> Object:
    metadata = object_of(body.get("metadata") or {}, "metadata")
    # ``task`` speaks to the gateway; the rest are labels for OpenAI's own store.
    if lost(metadata, ("user_id", "task")):
        dropped.add("metadata")
    user = metadata.get("user_id") or body.get("safety_identifier") or body.get("user")
    return {"metadata": {"user_id": user}} if user else {}


def _service_tier(body: Mapping[str, Any], dropped: Dropped) -> Object:
    asked = body.get("service_tier")
    if asked is None:
        return {}
    if asked == "auto":
        return {"service_tier": "auto"}
    if asked in ("default", "standard_only"):
        return {"service_tier": "standard_only"}
    dropped.add("service_tier")
    return {}


def _sampling(body: Mapping[str, Any], dropped: Dropped, settings: Settings) -> Object:
    asked = {
        name: body[name]
        for name, default in (("temperature", 1), ("top_p", 1), ("top_k", None))
        if body.get(name) not in (None, default)
    }
    if settings.takes_sampling:
        return asked
    dropped.update(asked)
    return {}
