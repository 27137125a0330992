// Compiled by the tests, and run by them against a live server: node usage.js BASE_URL TOKEN ID
import { KnowbaseClient, ProblemError } from "./client.js";
import type { AgentInfo, ExternalDataSyncRequest, ModelIntegrationStatus, SearchPage } from "./client.js";

declare const process: { argv: string[] };

const [, , baseUrl = "", token = "", id = ""] = process.argv;
const client = new KnowbaseClient({ baseUrl, token });

const page: SearchPage = await client.search({ query: "near 1.0", mode: "hybrid", models: ["blog.Article"], limit: 2 });
const similarity: number | null | undefined = page.results[0]?.similarity;
const similar = await client.similar({ model: "blog.Article", key: id, tags: [], metadata: '{"year": 2020}' });
const counted = await client.facets({ facets: ["metadata.year"], models: ["blog.Article"] });
const request: ExternalDataSyncRequest = { model_name: "blog.Article", model_id: id };
const first = await client.sync(request);
const second = await client.sync(request);
const sources: ModelIntegrationStatus[] = (await client.status()).sources;

const agents: AgentInfo[] = (await client.listAgents()).results;
const runs = await client.listExecutions({ status: "FAILED", limit: 1 });

void (() => client.runAgent({ agent_name: "echo" }, { prompt: "x" }, { idempotencyKey: "once" }));
// @ts-expect-error no prompt
void (() => client.runAgent({ agent_name: "echo" }, {}));
void (() => client.executeWorkflow({ workflow: "review", prompt: "x", background: true }, { idempotencyKey: "once" }));
void (() => client.resumeWorkflow({ workflow_id: "x" }));
// @ts-expect-error a pattern that there is not
void (() => client.executeWorkflow({ pattern: "round", agents: ["echo"], prompt: "x" }));
// @ts-expect-error a mode that there is not
void (() => client.search({ query: "x", mode: "third" }));
// @ts-expect-error no query
void (() => client.search({ limit: 3 }));
// @ts-expect-error an unknown filter
void (() => client.searchByUrl({ query: "x", limits: 3 }));
// @ts-expect-error GET takes no Idempotency-Key
void (() => client.status({ idempotencyKey: "x" }));

let refused: unknown;
try {
  await client.search({ query: "x", limit: 0 });
} catch (error) {
  refused = error instanceof ProblemError ? [error.problem.status, error.problem.errors?.[0]?.pointer] : error;
}

console.log(
  JSON.stringify({
    titles: page.results.map((result) => result.title),
    similarity,
    similar: similar.results.map((result) => result.title),
    years: counted.facets["metadata.year"]?.values.map((one) => one.value),
    same: first.external_data_id === second.external_data_id,
    models: sources.map((source) => source.model_name),
    agents: agents.map((agent) => agent.name).filter((name) => name === "echo"),
    runs: runs.results.length,
    refused,
  }),
);
