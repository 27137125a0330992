// Compiled by the tests, and run by them against a live server: node usage.js BASE_URL TOKEN ID QUESTION
import { ProblemError, createKnowbaseClient, orThrow } from "pgknowbase";
import type { AgentInfo, ExternalDataMetaConfig, ExternalDataSyncRequest, ExternalDataSyncResponse } from "pgknowbase";
import type { ChatCitation, ExternalDataType, ModelIntegrationStatus, SearchPage } from "pgknowbase";

declare const process: { argv: string[] };

const [, , baseUrl = "", token = "", id = "", question = ""] = process.argv;
const client = createKnowbaseClient({ baseUrl, token });

const body = { query: "near 1.0", mode: "hybrid", models: ["blog.Article"], limit: 2 } as const;
const page: SearchPage = await orThrow(client.POST("/knowledge/search/", { body: { ...body, models: [...body.models] } }));
const similarity: number | null | undefined = page.results[0]?.similarity;
const similar = await orThrow(
  client.GET("/knowledge/similar/", {
    params: { query: { model: "blog.Article", key: id, tags: ["a", "b"].slice(2), metadata: '{"year": 2020}' } },
  }),
);
const counted = await orThrow(
  client.POST("/knowledge/facets/", { body: { facets: ["metadata.year"], models: ["blog.Article"] } }),
);
const request: ExternalDataSyncRequest = { model_name: "blog.Article", model_id: id };
const first: ExternalDataSyncResponse = await orThrow(client.POST("/knowledge/sync/", { body: request }));
const second = await orThrow(client.POST("/knowledge/sync/", { body: request }));
const sources: ModelIntegrationStatus[] = (await orThrow(client.GET("/knowledge/status/"))).sources;
const kind: ExternalDataType = "api";
const declared: ExternalDataMetaConfig = { watch_fields: ["title"], source_type: kind };

const agents: AgentInfo[] = (await orThrow(client.GET("/orchestrator/ai-agents/"))).results;
const runs = await orThrow(
  client.GET("/orchestrator/executions/", { params: { query: { status: "FAILED", limit: 1 } } }),
);

// A chat, read while it is written.
const session = await orThrow(client.POST("/chat/sessions/", { body: {} }));
const params = { path: { session_id: session.id } };
const names = new Set<string>();
let text = "";
let passages: ChatCitation[] = [];
for await (const event of client.stream("/chat/sessions/{session_id}/messages/stream/", { params, body: { question } })) {
  names.add(event.event);
  if (event.event === "found") passages = event.data.passages;
  if (event.event === "text") text += event.data.text;
}
let left = 0;
for await (const _ of client.stream("/chat/sessions/{session_id}/messages/stream/", { params, body: { question } })) {
  left += 1;
  break;
}
let failed: unknown;
try {
  const path = { agent_name: "echo" };
  for await (const event of client.stream("/orchestrator/ai-agents/{agent_name}/run/", {
    params: { path },
    body: { prompt: "fail", stream: true },
  })) {
    if (event.event === "result") failed = event.data.output;
  }
} catch (error) {
  failed = error instanceof ProblemError ? error.problem.status : String(error);
}
const gone: undefined = await orThrow(client.DELETE("/chat/sessions/{session_id}/", { params }));

const key = { "Idempotency-Key": "once" };
const echo = { agent_name: "echo" };
const run = "/orchestrator/ai-agents/{agent_name}/run/";
void (() => client.POST(run, { params: { path: echo, header: key }, body: { prompt: "x" } }));
// @ts-expect-error no prompt
void (() => client.POST(run, { params: { path: echo }, body: {} }));
// @ts-expect-error no such route
void (() => client.POST("/orchestrator/ai-agents/", { body: {} }));
// @ts-expect-error a pattern that there is not
void (() => client.POST("/orchestrator/workflows/execute/", { body: { pattern: "round", agents: ["echo"], prompt: "x" } }));
// @ts-expect-error a mode that there is not
void (() => client.POST("/knowledge/search/", { body: { query: "x", mode: "third" } }));
// @ts-expect-error no query
void (() => client.POST("/knowledge/search/", { body: { limit: 3 } }));
// @ts-expect-error a route that does not stream
void (() => client.stream("/knowledge/search/", { body: { query: "x" } }));

const { data, error, response } = await client.POST("/knowledge/search/", { body: { query: "x", limit: 0 } });
const refused: unknown[] = [data === undefined, error?.type, error?.errors?.[0]?.pointer, response.status];
for (const call of [
  () => orThrow(createKnowbaseClient({ baseUrl, token: () => "pgk_wrong" }).GET("/knowledge/status/")),
  () => orThrow(createKnowbaseClient({ baseUrl: `${baseUrl}/nowhere` }).GET("/knowledge/status/")),
]) {
  try {
    refused.push(await call());
  } catch (thrown) {
    refused.push(thrown instanceof ProblemError ? [thrown.problem.status, thrown.problem.title] : String(thrown));
  }
}

console.log(
  JSON.stringify({
    titles: page.results.map((result) => result.title),
    similarity,
    similar: similar.results.map((result) => result.title),
    years: counted.facets["metadata.year"]?.values.map((one) => one.value),
    same: first.external_data_id === second.external_data_id,
    models: sources.map((source) => source.model_name),
    declared,
    agents: agents.map((agent) => agent.name).filter((name) => name === "echo"),
    runs: runs.results.length,
    events: [...names],
    text,
    passages: passages.map((passage) => passage.title),
    left,
    failed,
    gone: gone === undefined,
    refused,
  }),
);
