"""Drives LangChain's ``ChatOpenAI``."""

from typing import Any

import reports
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from pydantic import BaseModel


class Show(BaseModel):
    """A short drama."""

    title: str
    episodes: int


@tool
def weather(city: str, days: int) -> str:
    """The weather for filming outdoors."""
    raise NotImplementedError  # the tests bring its results along


def connect(options: dict[str, Any], **more: Any) -> ChatOpenAI:
    return ChatOpenAI(
        base_url=options["root"] + options["path"],
        api_key=options["api_key"],
        max_retries=options["max_retries"],
        default_headers=options["headers"],
        **more,
    )


def perform(request: dict[str, Any]) -> reports.Report:
    operation = OPERATIONS[request["operation"]]
    return operation(request["options"], request["parameters"])


def invoke(options: dict[str, Any], parameters: dict[str, Any]) -> reports.Report:
    prompt = parameters.pop("prompt")
    return _report(connect(options, **parameters).invoke(prompt))


def stream(options: dict[str, Any], parameters: dict[str, Any]) -> reports.Report:
    prompt = parameters.pop("prompt")
    chunks = list(connect(options, **parameters).stream(prompt))
    whole = chunks[0]
    for chunk in chunks[1:]:
        whole += chunk
    return {**_report(whole), "pieces": len(chunks)}


def tool_loop(options: dict[str, Any], parameters: dict[str, Any]) -> reports.Report:
    """Two turns with the tool that is bound, the first one streamed if it should be."""
    streamed, result = parameters.pop("streamed"), parameters.pop("result")
    messages: list[Any] = [HumanMessage(parameters.pop("prompt"))]
    model = connect(options, **parameters).bind_tools([weather])
    said = _folded(model.stream(messages)) if streamed else model.invoke(messages)
    messages.append(said)
    messages += [ToolMessage(result, tool_call_id=call["id"]) for call in said.tool_calls]
    return {**_report(model.invoke(messages)), "calls": said.tool_calls}


def structured(options: dict[str, Any], parameters: dict[str, Any]) -> reports.Report:
    prompt, method = parameters.pop("prompt"), parameters.pop("method")
    model = connect(options, **parameters).with_structured_output(Show, method=method)
    answer = model.invoke(prompt)
    return {"type": type(answer).__name__, "fields": answer.model_dump()}


def embed(options: dict[str, Any], parameters: dict[str, Any]) -> reports.Report:
    texts = parameters.pop("texts")
    embeddings = OpenAIEmbeddings(
        base_url=options["root"] + options["path"], api_key=options["api_key"], **parameters
    )
    return {"vectors": embeddings.embed_documents(texts)}


def _folded(chunks: Any) -> AIMessageChunk:
    whole = next(chunks)
    for chunk in chunks:
        whole += chunk
    return whole


def _report(message: AIMessage) -> reports.Report:
    return {
        "text": message.text,
        "usage": message.usage_metadata,
        "finish_reason": message.response_metadata.get("finish_reason"),
    }


OPERATIONS = {
    "invoke": invoke,
    "stream": stream,
    "tool_loop": tool_loop,
    "structured": structured,
    "embed": embed,
}

if __name__ == "__main__":
    reports.drive(perform)
