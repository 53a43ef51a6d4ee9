"""``GenerateContentResponse`` to OpenAI choices, the same for whole answers and for streams.

https://ai.google.dev/api/generate-content#FinishReason and
https://ai.google.dev/gemini-api/docs/thought-signatures (read 2026-11-22, against
google-genai 3.4). Thoughts become ``reasoning_content``, pictures ``images`` (a list of
``image_url`` parts). A signature travels as ``extra_content.google.thought_signature``, which is
where Google's own OpenAI endpoint puts it: on the tool call that bears it, or on the message for
the text; ``signed_text`` beside it gives start and end in characters where the signed part is not
the whole text.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from gateway import Answer, CallError, ChatRequest, Outcome, Usage, load_object, quoted

from .errors import garbled_if_misshapen, raise_error_in
from .usage import read_usage_metadata

_FILTERED = "content_filter"
_FINISH_REASONS = {
    "STOP": "stop",
    "MAX_TOKENS": "length",
    "CONTINUATION": "length",
    "BLOCKLIST": _FILTERED,
    "ESCALATION": _FILTERED,
    "IMAGE_PROHIBITED_CONTENT": _FILTERED,
    "IMAGE_RECITATION": _FILTERED,
    "IMAGE_SAFETY": _FILTERED,
    "LANGUAGE": _FILTERED,
    "MODEL_ARMOR": _FILTERED,
    "PROHIBITED_CONTENT": _FILTERED,
    "RECITATION": _FILTERED,
    "SAFETY": _FILTERED,
    "SPII": _FILTERED,
}
"""Words that are in neither table (OTHER, NO_IMAGE, IMAGE_OTHER and new ones) end an answer like
STOP if there is one, and are a failure if there is none."""

_FAILURES = {
    # The model meant to call a tool and wrote nothing that can be called: asking again may help,
    # an answer without the call would be a lie.
    "MALFORMED_FUNCTION_CALL": Outcome.UPSTREAM_GARBLED,
    "MALFORMED_RESPONSE": Outcome.UPSTREAM_GARBLED,
    "TOO_MANY_TOOL_CALLS": Outcome.UPSTREAM_GARBLED,
    "UNEXPECTED_TOOL_CALL": Outcome.UPSTREAM_GARBLED,
    "MISSING_THOUGHT_SIGNATURE": Outcome.UPSTREAM_REJECTED,
    "PUP_LIMITED_DISABLED": Outcome.UPSTREAM_CREDENTIALS,
}


@dataclass
class Choice:
    """One candidate while it is read, in one piece or in many."""

    call_id: str
    index: int
    text_chars: int = 0
    tool_calls: int = 0
    images: int = 0
    signature: str | None = None
    signed_text: tuple[int, int] = (0, 0)
    finish_reason: str | None = None

    def read(self, candidate: Mapping[str, Any]) -> dict[str, Any]:
        """What ``candidate`` adds, in the shape of a delta; empty if it adds nothing.

        Raises CallError if the model failed rather than finished.
        """
        delta: dict[str, Any] = {}
        for part in (candidate.get("content") or {}).get("parts") or ():
            self._read_part(part, delta)
        word = candidate.get("finishReason")
        if word and word != "FINISH_REASON_UNSPECIFIED":
            self.finish_reason = self._finish_reason(word, candidate.get("finishMessage"))
        return delta

    def extra_content(self) -> dict[str, Any]:
        """The text's signature, to go with the end of the message."""
        if self.signature is None:
            return {}
        google: dict[str, Any] = {"thought_signature": self.signature}
        if self.signed_text != (0, self.text_chars):
            google["signed_text"] = list(self.signed_text)
        return {"extra_content": {"google": google}}

    def _read_part(self, part: Mapping[str, Any], delta: dict[str, Any]) -> None:
        if "functionCall" in part:
            delta.setdefault("tool_calls", []).append(self._tool_call(part))
        elif "inlineData" in part:
            delta.setdefault("images", []).append(self._image(part["inlineData"]))
        elif part.get("thought"):
            delta["reasoning_content"] = delta.get("reasoning_content", "") + part.get("text", "")
        elif "text" in part or "thoughtSignature" in part:
            self._read_text(part.get("text", ""), part.get("thoughtSignature"), delta)

    def _read_text(self, text: str, signature: str | None, delta: dict[str, Any]) -> None:
        start = self.text_chars
        self.text_chars += len(text)
        if text:
            delta["content"] = delta.get("content", "") + text
        if signature:
            self.signature = signature
            self.signed_text = (start, self.text_chars)

    def _tool_call(self, part: Mapping[str, Any]) -> dict[str, Any]:
        position, self.tool_calls = self.tool_calls, self.tool_calls + 1
        call = part["functionCall"]
        tool_call = {
            "index": position,
            "id": call.get("id") or f"call_{self.call_id}_{self.index}_{position}",
            "type": "function",
            "function": {
                "name": call.get("name") or "",
                "arguments": orjson.dumps(call.get("args") or {}).decode(),
            },
        }
        if part.get("thoughtSignature"):
            google = {"thought_signature": part["thoughtSignature"]}
            tool_call["extra_content"] = {"google": google}
        return tool_call

    def _image(self, blob: Mapping[str, Any]) -> dict[str, Any]:
        position, self.images = self.images, self.images + 1
        url = f"data:{blob.get('mimeType')};base64,{blob.get('data')}"
        return {"index": position, "type": "image_url", "image_url": {"url": url}}

    def _finish_reason(self, word: str, explanation: str | None) -> str:
        empty = not (self.text_chars or self.tool_calls or self.images)
        if word in _FAILURES or (empty and word not in _FINISH_REASONS):
            raise CallError(
                _FAILURES.get(word, Outcome.UPSTREAM_GARBLED),
                f"Gemini ended with {word}" + (f": {explanation}" if explanation else ""),
            )
        reason = _FINISH_REASONS.get(word, "stop")
        return "tool_calls" if reason == "stop" and self.tool_calls else reason


def raise_refusal_in(answer: Mapping[str, Any]) -> None:
    """Raises CallError for an error object, and for a prompt that was blocked."""
    raise_error_in(answer)
    feedback = answer.get("promptFeedback") or {}
    reason = feedback.get("blockReason")
    if reason and not answer.get("candidates"):
        explanation = feedback.get("blockReasonMessage")
        raise CallError(
            Outcome.CONTENT_POLICY,
            f"Gemini blocked the prompt: {reason}" + (f", {explanation}" if explanation else ""),
        )


def read_response(request: ChatRequest, body: bytes) -> Answer:
    """A whole answer. Raises CallError."""
    answer = load_object(body)
    with garbled_if_misshapen():
        raise_refusal_in(answer)
        choices = [
            _choice(request, position, candidate)
            for position, candidate in enumerate(answer.get("candidates") or ())
        ]
        usage = read_usage_metadata(answer.get("usageMetadata"))
    if not choices:
        raise CallError(
            Outcome.UPSTREAM_GARBLED, f"the upstream's answer has no candidates: {quoted(body)}"
        )
    completion = {
        "id": f"chatcmpl-{request.call_id}",
        "object": "chat.completion",
        "created": request.created_s,
        "model": request.model,
        "choices": choices,
        "usage": (usage or Usage()).to_openai(),
    }
    return Answer(orjson.dumps(completion), usage, choices[0]["finish_reason"])


def _choice(request: ChatRequest, position: int, candidate: Mapping[str, Any]) -> dict[str, Any]:
    choice = Choice(request.call_id, candidate.get("index", position))
    message = choice.read(candidate)
    if choice.finish_reason is None:
        raise CallError(Outcome.UPSTREAM_GARBLED, "the upstream's answer does not say why it ended")
    for item in (*message.get("tool_calls", ()), *message.get("images", ())):
        del item["index"]
    content = None if choice.tool_calls else ""
    return {
        "index": choice.index,
        "message": {"role": "assistant", "content": content, **message, **choice.extra_content()},
        "logprobs": read_logprobs(candidate),
        "finish_reason": choice.finish_reason,
    }


def read_logprobs(candidate: Mapping[str, Any]) -> dict[str, Any] | None:
    """OpenAI's ``logprobs`` of a choice; None if there are none."""
    result = candidate.get("logprobsResult")
    if not result:
        return None
    chosen = result.get("chosenCandidates") or []
    top = result.get("topCandidates") or [{}] * len(chosen)
    return {
        "content": [
            _logprob(token)
            | {"top_logprobs": [_logprob(other) for other in others.get("candidates") or ()]}
            for token, others in zip(chosen, top, strict=False)
        ],
        "refusal": None,
    }


def _logprob(token: Mapping[str, Any]) -> dict[str, Any]:
    text = token.get("token") or ""
    return {
        "token": text,
        "logprob": token.get("logProbability") or 0.0,
        "bytes": list(text.encode()),
    }
