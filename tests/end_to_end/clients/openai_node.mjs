// Drives the OpenAI SDK for Node, in the line protocol of reports.py. It runs in the folder whose
// node_modules have the SDK.
import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const { OpenAI } = createRequire(process.cwd() + "/")("openai");

async function chat(client, parameters) {
  const { data, response } = await client.chat.completions.create(parameters).withResponse();
  const [choice] = data.choices;
  return {
    text: choice.message.content,
    reasoning: choice.message.reasoning_content ?? null,
    calls: (choice.message.tool_calls ?? []).map((call) => ({ id: call.id, ...call.function })),
    finish_reason: choice.finish_reason,
    usage: data.usage ?? null,
    model: data.model,
    request_id: data._request_id,
    headers: Object.fromEntries(response.headers),
  };
}

async function stream(client, parameters) {
  const request = client.chat.completions.create({ ...parameters, stream: true });
  const { data, response } = await request.withResponse();
  const report = { text: "", reasoning: "", calls: [], usage: null, chunks: [] };
  for await (const chunk of data) {
    report.chunks.push(chunk);
    report.usage = chunk.usage ?? null;
    for (const { delta, finish_reason } of chunk.choices) {
      report.finish_reason = finish_reason;
      report.text += delta.content ?? "";
      report.reasoning += delta.reasoning_content ?? "";
      for (const fragment of delta.tool_calls ?? []) addFragment(report.calls, fragment);
    }
  }
  const headers = Object.fromEntries(response.headers);
  return { ...report, request_id: headers["x-request-id"], headers };
}

function addFragment(calls, { index, id, function: called }) {
  if (index === calls.length) calls.push({ id, name: called.name, arguments: "" });
  calls[index].arguments += called.arguments ?? "";
}

async function toolLoop(client, { results, messages, ...parameters }) {
  const first = await client.chat.completions.create({ messages, ...parameters });
  const [{ message }] = first.choices;
  messages.push(message);
  for (const { id, function: called } of message.tool_calls ?? []) {
    messages.push({ role: "tool", tool_call_id: id, content: results[called.name] });
  }
  return chat(client, { messages, ...parameters });
}

async function streamedToolLoop(client, { results, messages, ...parameters }) {
  const first = await stream(client, { messages, ...parameters });
  const tool_calls = first.calls.map(({ id, ...called }) => ({
    id,
    type: "function",
    function: called,
  }));
  messages.push({ role: "assistant", content: first.text || null, tool_calls });
  for (const { id, name } of first.calls) {
    messages.push({ role: "tool", tool_call_id: id, content: results[name] });
  }
  return stream(client, { messages, ...parameters });
}

// The SDK's own helper puts the stream together, and its message goes back.
async function helpedToolLoop(client, { results, messages, ...parameters }) {
  const events = client.chat.completions.stream({ messages, ...parameters });
  const message = await events.finalMessage();
  messages.push(message);
  for (const { id, function: called } of message.tool_calls ?? []) {
    messages.push({ role: "tool", tool_call_id: id, content: results[called.name] });
  }
  return chat(client, { messages, ...parameters });
}

async function embed(client, parameters) {
  const { data, response } = await client.embeddings.create(parameters).withResponse();
  const headers = Object.fromEntries(response.headers);
  return {
    vectors: data.data.map((item) => item.embedding),
    usage: data.usage,
    model: data.model,
    request_id: headers["x-request-id"],
    headers,
  };
}

async function models(client) {
  const found = [];
  for await (const model of client.models.list()) found.push(model);
  return { models: found };
}

const operations = {
  chat,
  stream,
  tool_loop: toolLoop,
  streamed_tool_loop: streamedToolLoop,
  helped_tool_loop: helpedToolLoop,
  embed,
  models,
  model: async (client, { id }) => ({ model: await client.models.retrieve(id) }),
};

function failure(error) {
  return {
    error: error.constructor.name,
    status_code: error.status ?? null,
    code: error.code ?? null,
    param: error.param ?? null,
    type: error.type ?? null,
    message: error.message,
    request_id: error.requestID ?? null,
  };
}

for await (const line of createInterface({ input: process.stdin })) {
  const { operation, options, parameters } = JSON.parse(line);
  const client = new OpenAI({
    baseURL: options.root + options.path,
    apiKey: options.api_key,
    maxRetries: options.max_retries,
    defaultHeaders: options.headers,
  });
  const { extra_body, ...known } = parameters; // the name that the Python SDK has for it
  const report = await operations[operation](client, { ...known, ...extra_body }).catch(failure);
  process.stdout.write(JSON.stringify(report) + "\n");
}
