"""Drives ``openai.AsyncOpenAI``; with the argument ``azure``, ``openai.AsyncAzureOpenAI``."""

import asyncio
import sys
from typing import Any

import reports
from openai import AsyncAzureOpenAI, AsyncOpenAI

AZURE_API_VERSION = "2025-04-01-preview"


def connect(options: dict[str, Any], azure: bool) -> AsyncOpenAI:
    if azure:
        return AsyncAzureOpenAI(
            azure_endpoint=options["root"],
            api_version=AZURE_API_VERSION,
            api_key=options["api_key"],
            max_retries=options["max_retries"],
            default_headers=options["headers"],
        )
    return AsyncOpenAI(
        base_url=options["root"] + options["path"],
        api_key=options["api_key"],
        max_retries=options["max_retries"],
        default_headers=options["headers"],
    )


async def perform(request: dict[str, Any], azure: bool) -> reports.Report:
    async with connect(request["options"], azure) as client:
        return await OPERATIONS[request["operation"]](client, request["parameters"])


async def chat(client: AsyncOpenAI, parameters: dict[str, Any]) -> reports.Report:
    raw = await client.chat.completions.with_raw_response.create(**parameters)
    return reports.completion(raw.parse(), raw.headers)


async def stream(client: AsyncOpenAI, parameters: dict[str, Any]) -> reports.Report:
    raw = await client.chat.completions.with_raw_response.create(stream=True, **parameters)
    return reports.stream([chunk async for chunk in raw.parse()], raw.headers)


async def tool_loop(client: AsyncOpenAI, parameters: dict[str, Any]) -> reports.Report:
    results = parameters.pop("results")
    messages = parameters.pop("messages")
    first = await client.chat.completions.create(messages=messages, **parameters)
    message = first.choices[0].message
    messages.append(message)
    for call in message.tool_calls or ():
        content = results[call.function.name]
        messages.append({"role": "tool", "tool_call_id": call.id, "content": content})
    return await chat(client, {"messages": messages, **parameters})


async def streamed_tool_loop(client: AsyncOpenAI, parameters: dict[str, Any]) -> reports.Report:
    results = parameters.pop("results")
    messages = parameters.pop("messages")
    first = await stream(client, {"messages": messages, **parameters})
    messages.append(reports.assistant_message(first))
    for call in first["calls"]:
        content = results[call["name"]]
        messages.append({"role": "tool", "tool_call_id": call["id"], "content": content})
    return await stream(client, {"messages": messages, **parameters})


async def embed(client: AsyncOpenAI, parameters: dict[str, Any]) -> reports.Report:
    raw = await client.embeddings.with_raw_response.create(**parameters)
    return reports.embeddings(raw.parse(), raw.headers)


async def models(client: AsyncOpenAI, parameters: dict[str, Any]) -> reports.Report:
    return {"models": [model.model_dump() async for model in client.models.list()]}


async def model(client: AsyncOpenAI, parameters: dict[str, Any]) -> reports.Report:
    return {"model": (await client.models.retrieve(parameters["id"])).model_dump()}


OPERATIONS = {
    "chat": chat,
    "stream": stream,
    "tool_loop": tool_loop,
    "streamed_tool_loop": streamed_tool_loop,
    "embed": embed,
    "models": models,
    "model": model,
}

if __name__ == "__main__":
    with asyncio.Runner() as runner:
        is_azure = sys.argv[1:] == ["azure"]
        reports.drive(lambda request: runner.run(perform(request, is_azure)))
