"""Answers a chat request: as an echo, a tool call, JSON for a schema, or a piece of writing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

from gateway import Usage

from .chat_body import ChatBody, Function, NamedTool
from .dice import Dice
from .prompt import Prompt, read_prompt
from .replies import Refusal, bad_request, error_reply
from .schema_filler import SchemaFiller, UnfillableSchema
from .writing import WRITERS, facts_of, voice_of

ECHO = "rehearsal-echo"
WRITER = "rehearsal-writer"
MODELS = (WRITER, ECHO, *(f"rehearsal-{task}" for task in WRITERS))
COPIES = (ECHO, "rehearsal-polish", "rehearsal-rewrite")
"""What they answer is the prompt's own text, or nearly."""

BYTES_PER_TOKEN = 4
TOKENS_PER_MESSAGE = 4


@dataclass(frozen=True, slots=True)
class Completion:
    """What the model says; ``call`` is the function it wants called, with its JSON arguments."""

    text: str
    usage: Usage
    finish_reason: str
    call: tuple[str, str] | None = None


def complete(body: ChatBody, seed: int) -> Completion:
    """Raises Refusal for what an OpenAI upstream would answer with an error."""
    if body.model not in MODELS:
        raise unknown_model(body.model)
    prompt = read_prompt(body.messages)
    dice = Dice(seed, body.seed, body.model, prompt.system, prompt.user, prompt.tool_result)
    call = None if body.model == ECHO else tool_call(body, prompt, dice)
    if call:
        usage = usage_of(body, prompt, estimate_tokens("".join(call)))
        return Completion("", usage, "tool_calls", call)
    text, finish_reason = shorten(body, answer_text(body, prompt, dice))
    return Completion(text, usage_of(body, prompt, estimate_tokens(text)), finish_reason)


def unknown_model(model: str) -> Refusal:
    message = f"The model {model!r} does not exist. The rehearsal has {', '.join(MODELS)}."
    return Refusal(error_reply(404, message, "invalid_request_error", "model_not_found", "model"))


def answer_text(body: ChatBody, prompt: Prompt, dice: Dice) -> str:
    if body.model == ECHO:
        return prompt.user
    kind = body.response_format.type if body.response_format else "text"
    if body.response_format and kind == "json_schema":
        schema = body.response_format.json_schema.schema_
        return filled(schema, prompt, dice, "response_format")
    task = body.model.removeprefix("rehearsal-")
    if kind == "json_object":
        facts = facts_of(prompt)
        if task not in ("extract", "writer"):
            facts["text"] = WRITERS[task](prompt, dice)
        return orjson.dumps(facts).decode()
    if prompt.tool_result is not None:
        return voice_of(prompt).tool_told.format(result=prompt.tool_result)
    return WRITERS[prompt.task() if task == "writer" else task](prompt, dice)


def tool_call(body: ChatBody, prompt: Prompt, dice: Dice) -> tuple[str, str] | None:
    """Name and JSON arguments of the call to make: one that is demanded, or named by the user."""
    function = chosen(body, prompt)
    if function is None:
        return None
    return function.name, filled(function.parameters, prompt, dice, "tools")


def chosen(body: ChatBody, prompt: Prompt) -> Function | None:
    functions = [tool.function for tool in body.tools or ()]
    choice = body.tool_choice
    if isinstance(choice, NamedTool):
        name = choice.function.name
        for function in functions:
            if function.name == name:
                return function
        raise bad_request(f"tool_choice names {name!r}, which is not in 'tools'.", "tool_choice")
    named = (f for f in functions if f.name and f.name in prompt.user)
    if choice == "required":
        if not functions:
            raise bad_request("tool_choice is 'required' without any tools.", "tool_choice")
        return next(named, functions[0])
    if choice == "none" or prompt.tool_result is not None:
        return None
    return next(named, None)


def filled(schema: Any, prompt: Prompt, dice: Dice, param: str) -> str:
    topic = prompt.topic(voice_of(prompt).untitled)
    try:
        return orjson.dumps(SchemaFiller(schema, dice, topic).fill()).decode()
    except (UnfillableSchema, orjson.JSONEncodeError) as error:
        raise bad_request(f"Cannot make up a value for the schema: {error}.", param) from None


def shorten(body: ChatBody, text: str) -> tuple[str, str]:
    """``text`` up to the first stop sequence and the token cap, and the finish reason."""
    for stop in body.stops:
        text = text.partition(stop)[0] if stop else text
    cap_tokens = body.cap_tokens
    if cap_tokens is None or estimate_tokens(text) <= cap_tokens:
        return text, "stop"
    return text.encode()[: cap_tokens * BYTES_PER_TOKEN].decode(errors="ignore"), "length"


def estimate_tokens(text: str) -> int:
    return -(-len(text.encode()) // BYTES_PER_TOKEN)


def usage_of(body: ChatBody, prompt: Prompt, output_tokens: int) -> Usage:
    tools_bytes = sum(len(tool.model_dump_json()) for tool in body.tools or ())
    input_tokens = -(-(prompt.text_bytes + tools_bytes) // BYTES_PER_TOKEN)
    return Usage(
        input_tokens=input_tokens + TOKENS_PER_MESSAGE * prompt.messages,
        output_tokens=output_tokens,
    )
