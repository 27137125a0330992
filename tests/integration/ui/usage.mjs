// What front ends do, with their own clients: node usage.mjs SITE TOKEN SESSION QUESTION
import { HttpAgent } from "@ag-ui/client";
import * as v6 from "ai";
import * as v5 from "ai-v5";

const [site, token, session, question] = process.argv.slice(2);
const headers = { Authorization: `Bearer ${token}` };
const said = (text, id = "q") => ({ id, role: "user", parts: [{ type: "text", text }] });

// The Vercel AI SDK: its transport parses the bytes, and its reader makes the message that useChat shows.
async function asked(sdk, path, messages, abortSignal) {
  const transport = new sdk.DefaultChatTransport({ api: `${site}/api/ui/${path}`, headers });
  const last = messages.at(-1);
  const chunks = await transport.sendMessages({ chatId: "c", trigger: "submit-message", messages, abortSignal });
  const message = last.role === "assistant" ? structuredClone(last) : undefined;
  let error, latest = message;
  const stream = sdk.readUIMessageStream({ stream: chunks, message, onError: (thrown) => (error = thrown) });
  try {
    for await (const each of stream) latest = each;
  } catch (thrown) {
    error = thrown;
  }
  return { message: latest, error: error && String(error.message) };
}
const textOf = (message) => message.parts.filter((part) => part.type === "text").map((part) => part.text).join("");
const shortened = (message) => ({
  text: textOf(message),
  sources: message.parts.filter((part) => part.type.startsWith("source")).map((part) => [part.type, part.title, part.url]),
  answer: message.parts.filter((part) => part.type === "data-answer").map((part) => part.data.citations.length),
});

const told = {};
for (const [name, sdk, version] of [["v5", v5, 5], ["v6", v6, 6]]) {
  const chat = await asked(sdk, `chats/${session}/vercel-ai/?version=${version}`, [said(question)]);
  told[name] = shortened(chat.message);
}

// A tool call that a person approves, and one that is refused.
for (const approved of [true, false]) {
  const path = "agents/careful/vercel-ai/";
  const first = [said(`delete ${approved ? "one" : "two"}`)];
  const { message: waits } = await asked(v6, path, first);
  const call = waits.parts.find((part) => part.type === "tool-delete");
  const states = [call.state];
  call.state = "approval-responded";
  call.approval = { ...call.approval, approved, ...(approved ? {} : { reason: "Not that one." }) };
  const { message, error } = await asked(v6, path, [...first, waits]);
  states.push(message.parts.find((part) => part.type === "tool-delete").state);
  told[approved ? "approved" : "refused"] = { states, text: textOf(message), error };
  const again = await asked(v6, path, [...first, waits]).catch((thrown) => JSON.parse(thrown.message).status);
  told[approved ? "approvedAgain" : "refusedAgain"] = again;
}

// History, failures, and one who leaves.
const known = await (await fetch(`${site}/api/ui/chats/${session}/vercel-ai/`, { headers })).json();
told.history = (await v6.validateUIMessages({ messages: known.messages })).map(({ role, parts }) => [role, parts.length]);
told.failed = (await asked(v6, "agents/failing/vercel-ai/", [said("break")])).error;
told.unknown = await asked(v6, "agents/nobody/vercel-ai/", [said("x")]).catch((thrown) => JSON.parse(thrown.message).status);
const leaving = new AbortController();
const transport = new v6.DefaultChatTransport({ api: `${site}/api/ui/agents/slow/vercel-ai/`, headers });
const left = await transport.sendMessages({
  chatId: "c", trigger: "submit-message", messages: [said("wait")], abortSignal: leaving.signal,
});
for await (const chunk of left) {
  told.left = chunk.type;
  if (chunk.type === "text-delta") break;
}
leaving.abort();

// AG-UI: its client verifies the order of events, and keeps the messages.
async function ran(agent, parameters) {
  const seen = [];
  let interrupts, error;
  await agent.runAgent(parameters, {
    onEvent: ({ event }) => void seen.push(event.type),
    onCustomEvent: ({ event }) => void (event.name === "source" && seen.push(event.value.title)),
    onRunFinishedEvent: ({ event }) => void (interrupts = event.outcome?.interrupts),
    onRunErrorEvent: ({ event }) => void (error = event.message),
  }).catch((thrown) => (error ??= thrown.message));
  return { seen, interrupts, error };
}
const known2 = await (await fetch(`${site}/api/ui/chats/${session}/ag-ui/`, { headers })).json();
const chat = new HttpAgent({ url: `${site}/api/ui/chats/${session}/ag-ui/`, headers, initialMessages: known2.messages });
chat.addMessage({ id: "q", role: "user", content: question });
const { seen, error } = await ran(chat);
told.agUI = { seen, error, text: chat.messages.at(-1).content, before: known2.messages.length };

const careful = new HttpAgent({ url: `${site}/api/ui/agents/careful/ag-ui/`, headers });
careful.addMessage({ id: "q", role: "user", content: "delete three" });
const paused = await ran(careful);
const [interrupt] = paused.interrupts;
const resumed = await ran(careful, {
  resume: [{ interruptId: interrupt.id, status: "resolved", payload: { approved: true } }],
});
told.interrupt = { reason: interrupt.reason, error: resumed.error, text: careful.messages.at(-1).content };
const failing = new HttpAgent({ url: `${site}/api/ui/agents/failing/ag-ui/`, headers });
failing.addMessage({ id: "q", role: "user", content: "break" });
told.agUIFailed = (await ran(failing)).error;

console.log(JSON.stringify(told));
process.exit(0);
