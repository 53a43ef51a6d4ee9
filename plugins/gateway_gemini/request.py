"""OpenAI's chat completion request to a ``generateContent`` body.

https://ai.google.dev/api/generate-content and https://ai.google.dev/gemini-api/docs/openai (read
2026-11-22, against the converters of google-genai 3.4). JSON Schema travels as it is, in
``parametersJsonSchema`` and ``responseJsonSchema``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from gateway import CallError, ChatRequest, Outcome

from .contents import write_contents

_SAME_MEANING = {
    "temperature": "temperature",
    "top_p": "topP",
    "top_k": "topK",
    "seed": "seed",
    "presence_penalty": "presencePenalty",
    "frequency_penalty": "frequencyPenalty",
}
_GOOGLE_OPTIONS = ("thinking_config", "safety_settings", "cached_content")
_CARRIED = {
    *_SAME_MEANING,
    *_GOOGLE_OPTIONS,
    *("model", "messages", "n", "stop", "max_tokens", "max_completion_tokens", "tools"),
    *("tool_choice", "response_format", "logprobs", "top_logprobs", "modalities"),
    *("reasoning_effort", "extra_body"),
    # The gateway's own business.
    *("stream", "stream_options", "metadata"),
}
_OPENAI_DEFAULTS: dict[str, tuple[Any, ...]] = {
    "logit_bias": ({},),
    "parallel_tool_calls": (True,),
    "service_tier": ("auto", "default"),
    "store": (False,),
    "verbosity": ("medium",),
}

_BEFORE_GEMINI_3 = re.compile(r"\bgemini-[12]\b")
_LEVELS = {"low": "LOW", "medium": "MEDIUM", "high": "HIGH"}
_BUDGETS_TOKENS = {"none": 0, "minimal": 1024, "low": 1024, "medium": 8192, "high": 24576}
_MODES = {"auto": "AUTO", "none": "NONE", "required": "ANY"}


def write_request(
    request: ChatRequest, lowest_thinking_level: str
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The upstream's body, and the client's fields that it has no place for."""
    dropped = [name for name, value in request.body.items() if _is_lost(name, value)]
    skip_lost_signatures = "gemini-" in request.model and not _BEFORE_GEMINI_3.search(request.model)
    system, contents = write_contents(request.body["messages"], skip_lost_signatures, dropped)
    options = _google_options(request.body, dropped)
    config = {
        **_sampling(request),
        **_response_format(request.body, dropped),
        **_thinking(request, options, lowest_thinking_level, dropped),
    }
    body = {
        "systemInstruction": {"parts": system} if system else None,
        "contents": contents,
        **_tools(request.body, dropped),
        "generationConfig": config or None,
        "safetySettings": options.get("safety_settings"),
        "cachedContent": options.get("cached_content"),
    }
    return {name: value for name, value in body.items() if value is not None}, tuple(
        dict.fromkeys(dropped)
    )


def _is_lost(name: str, value: Any) -> bool:
    if name in _CARRIED or value is None:
        return False
    return value not in _OPENAI_DEFAULTS.get(name, ())


def _google_options(body: Mapping[str, Any], dropped: list[str]) -> dict[str, Any]:
    """Fields in Google's own words, from the top level or from ``extra_body.google``."""
    extra = body.get("extra_body") or {}
    options = dict(extra.get("google") or {})
    dropped += (f"extra_body.{name}" for name in extra if name != "google")
    dropped += (f"extra_body.google.{name}" for name in options if name not in _GOOGLE_OPTIONS)
    return options | {name: body[name] for name in _GOOGLE_OPTIONS if body.get(name) is not None}


def _sampling(request: ChatRequest) -> dict[str, Any]:
    body = request.body
    stop = body.get("stop")
    limit = request.max_output_tokens
    limit = limit or body.get("max_completion_tokens") or body.get("max_tokens")
    config = {
        "maxOutputTokens": limit,
        **{theirs: body.get(ours) for ours, theirs in _SAME_MEANING.items()},
        "stopSequences": [stop] if isinstance(stop, str) else stop,
        "candidateCount": body.get("n") if body.get("n") != 1 else None,
        "responseLogprobs": body.get("logprobs") or None,
        "logprobs": body.get("top_logprobs"),
    }
    return {name: value for name, value in config.items() if value is not None}


def _response_format(body: Mapping[str, Any], dropped: list[str]) -> dict[str, Any]:
    config: dict[str, Any] = {}
    modalities = body.get("modalities") or ["text"]
    if not {"text", "image"}.issuperset(modalities):
        raise CallError(
            Outcome.UNSUPPORTED, "Gemini answers here in text and images only", param="modalities"
        )
    if modalities != ["text"]:
        config["responseModalities"] = [modality.upper() for modality in modalities]
    match body.get("response_format"):
        case None | {"type": "text"}:
            return config
        case {"type": "json_object"}:
            return config | {"responseMimeType": "application/json"}
        case {"type": "json_schema", "json_schema": {"schema": schema}}:
            return config | {"responseMimeType": "application/json", "responseJsonSchema": schema}
    dropped.append("response_format")
    return config


def _thinking(
    request: ChatRequest, options: Mapping[str, Any], lowest_level: str, dropped: list[str]
) -> dict[str, Any]:
    """Gemini 3 and later take a level, earlier models a budget of tokens; Google's own table.

    What a model cannot do becomes the nearest that it can, and is named as dropped.
    """
    effort = request.body.get("reasoning_effort")
    config = options.get("thinking_config")
    if config is not None:
        dropped += ["reasoning_effort"] if effort is not None else []
        return {"thinkingConfig": config}
    if effort is None:
        return {}
    if _BEFORE_GEMINI_3.search(request.model):
        exact = effort in _BUDGETS_TOKENS
        config = {"thinkingBudget": _BUDGETS_TOKENS.get(effort, _BUDGETS_TOKENS["high"])}
    elif effort in ("none", "minimal"):
        exact = effort == lowest_level.lower()
        config = {"thinkingLevel": lowest_level}
    else:
        exact = effort in _LEVELS
        config = {"thinkingLevel": _LEVELS.get(effort, "HIGH")}
    if not exact:
        dropped.append("reasoning_effort")
    return {"thinkingConfig": {"includeThoughts": effort != "none", **config}}


def _tools(body: Mapping[str, Any], dropped: list[str]) -> dict[str, Any]:
    tools = body.get("tools")
    if not tools:
        return {}
    declarations = [_declaration(tool, dropped) for tool in tools]
    config = _function_calling(body.get("tool_choice"))
    return {
        "tools": [{"functionDeclarations": declarations}],
        "toolConfig": {"functionCallingConfig": config} if config else None,
    }


def _declaration(tool: Mapping[str, Any], dropped: list[str]) -> dict[str, Any]:
    if tool.get("type") != "function":
        raise CallError(
            Outcome.UNSUPPORTED,
            f"Gemini takes function tools, not {tool.get('type')!r}",
            param="tools",
        )
    function = tool["function"]
    if function.get("strict"):
        dropped.append("tools.function.strict")
    declaration = {
        "name": function["name"],
        "description": function.get("description"),
        "parametersJsonSchema": function.get("parameters"),
    }
    return {name: value for name, value in declaration.items() if value is not None}


def _function_calling(choice: Any) -> dict[str, Any] | None:
    match choice:
        case None:
            return None
        case "auto" | "none" | "required":
            return {"mode": _MODES[choice]}
        case {"type": "function", "function": {"name": name}}:
            return {"mode": "ANY", "allowedFunctionNames": [name]}
        case {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": tools}}:
            # AUTO takes no list of names; VALIDATED is the mode that may also answer in words.
            names = [tool["function"]["name"] for tool in tools]
            mode = "ANY" if mode == "required" else "VALIDATED"
            return {"mode": mode, "allowedFunctionNames": names}
    raise CallError(
        Outcome.UNSUPPORTED,
        f"Gemini cannot be told the tool choice {choice!r}",
        param="tool_choice",
    )
