"""Drives ``openai.OpenAI``, whichever version its environment has."""

from typing import Any

import reports
from openai import OpenAI


def perform(request: dict[str, Any]) -> reports.Report:
    options = request["options"]
    client = OpenAI(
        base_url=options["root"] + options["path"],
        api_key=options["api_key"],
        max_retries=options["max_retries"],
        default_headers=options["headers"],
    )
    with client:
        return OPERATIONS[request["operation"]](client, request["parameters"])


def chat(client: OpenAI, parameters: dict[str, Any]) -> reports.Report:
    raw = client.chat.completions.with_raw_response.create(**parameters)
    return reports.completion(raw.parse(), raw.headers)


def stream(client: OpenAI, parameters: dict[str, Any]) -> reports.Report:
    raw = client.chat.completions.with_raw_response.create(stream=True, **parameters)
    return reports.stream(raw.parse(), raw.headers)


def tool_loop(client: OpenAI, parameters: dict[str, Any]) -> reports.Report:
    results = parameters.pop("results")
    messages = parameters.pop("messages")
    first = client.chat.completions.create(messages=messages, **parameters)
    message = first.choices[0].message
    messages.append(message)
    for call in message.tool_calls or ():
        content = results[call.function.name]
        messages.append({"role": "tool", "tool_call_id": call.id, "content": content})
    return chat(client, {"messages": messages, **parameters})


def streamed_tool_loop(client: OpenAI, parameters: dict[str, Any]) -> reports.Report:
    results = parameters.pop("results")
    messages = parameters.pop("messages")
    first = stream(client, {"messages": messages, **parameters})
    messages.append(reports.assistant_message(first))
    for call in first["calls"]:
        content = results[call["name"]]
        messages.append({"role": "tool", "tool_call_id": call["id"], "content": content})
    return stream(client, {"messages": messages, **parameters})


def helped_tool_loop(client: OpenAI, parameters: dict[str, Any]) -> reports.Report:
    """The SDK's own helper puts the stream together, and its message goes back."""
    results = parameters.pop("results")
    messages = parameters.pop("messages")
    with client.chat.completions.stream(messages=messages, **parameters) as events:
        message = events.get_final_completion().choices[0].message
    messages.append(message)
    for call in message.tool_calls or ():
        content = results[call.function.name]
        messages.append({"role": "tool", "tool_call_id": call.id, "content": content})
    return chat(client, {"messages": messages, **parameters})


def embed(client: OpenAI, parameters: dict[str, Any]) -> reports.Report:
    raw = client.embeddings.with_raw_response.create(**parameters)
    return reports.embeddings(raw.parse(), raw.headers)


def models(client: OpenAI, parameters: dict[str, Any]) -> reports.Report:
    return {"models": [model.model_dump() for model in client.models.list()]}


def model(client: OpenAI, parameters: dict[str, Any]) -> reports.Report:
    return {"model": client.models.retrieve(parameters["id"]).model_dump()}


OPERATIONS = {
    "chat": chat,
    "stream": stream,
    "tool_loop": tool_loop,
    "streamed_tool_loop": streamed_tool_loop,
    "helped_tool_loop": helped_tool_loop,
    "embed": embed,
    "models": models,
    "model": model,
}

if __name__ == "__main__":
    reports.drive(perform)
