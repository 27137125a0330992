// Made by 'manage.py pgknowbase_openapi --format typescript'. Do not edit.

import { BaseClient } from "./runtime.js";
import type { CallOptions, PostOptions } from "./runtime.js";

export type { FieldProblem, ProblemDetails } from "./problem.js";
export { ProblemError } from "./runtime.js";
export type { CallOptions, ClientOptions, PostOptions } from "./runtime.js";

/** The user for whom an agent acts. */
export interface ActingFor {
  /** Another user; needs the permission to act for others. */
  user_id?: number | string | null;
}

/** An agent that the caller may run. */
export interface AgentInfo {
  name: string;
  description: string;
  kept_in: "code" | "database";
  /** Null: none is configured, so it cannot run. */
  model: string | null;
}

/** Agents, ordered by name. */
export interface AgentList {
  results: Array<AgentInfo>;
}

/** A tool call that a person has to allow. */
export interface Approval {
  id: number;
  execution_id: string;
  execution_url: string;
  agent_name: string;
  /** For whom the agent acts. */
  user_id: number | string | null;
  tool_name: string;
  arguments: unknown;
  status: "PENDING" | "APPROVED" | "DENIED";
  reason: string;
  requested_at: string;
  decided_at: string | null;
  decided_by: number | string | null;
}

/** The latest first. ``next_offset``: of the next page; null on the last one. */
export interface ApprovalPage {
  results: Array<Approval>;
  next_offset: number | null;
}

/** How far a cap of ``COSTS["CAPS"]`` is used, in ``unit``: tokens, or cost in US dollars. ``state``: 'open', 'backfills wait' (and spaces that are not active), or 'all wait'. */
export interface CapStatus {
  model: string;
  tenant: string;
  per: string;
  unit: "tokens" | "cost";
  used: string;
  limit: string;
  state: "open" | "backfills wait" | "all wait";
}

/** What ``[number]`` in the text names: a chunk of an object, and its place in the object's text. */
export interface ChatCitation {
  number: number;
  id: string;
  model: string;
  object_key: string;
  title: string;
  /** Its place among the object's chunks, from 0. */
  chunk: number;
  span: Span;
}

/** A message. ``mode`` tells how an answer was made; it is null for a question. */
export interface ChatEntry {
  id: number;
  role: "user" | "assistant";
  content: string;
  /** The question of an answer. */
  reply_to: number | null;
  mode: "model" | "extractive" | "unknown" | "failed" | null;
  /** What was searched for. */
  search_query: string;
  citations: Array<ChatCitation>;
  /** Markers that did not name a passage; they were removed from the text. */
  dropped: Array<string>;
  usage: ChatUsage;
  created_at: string;
}

/** Messages, in their order. */
export interface ChatMessagePage {
  results: Array<ChatEntry>;
  next_offset: number | null;
}

/** A question. */
export interface ChatQuestion {
  question: string;
}

/** A chat, with the tokens and cost of its answers. */
export interface ChatSessionDetail {
  session: ChatSessionSummary;
  usage: ChatUsage;
}

/** Chats, the one with the latest message first. */
export interface ChatSessionPage {
  results: Array<ChatSessionSummary>;
  next_offset: number | null;
}

/** One of the caller's chats. */
export interface ChatSessionSummary {
  id: string;
  title: string;
  created_at: string;
  updated_at: string;
}

/** ``cost``: US dollars as a decimal number; null where a price is unknown. */
export interface ChatUsage {
  tokens_used: number;
  cost: string | null;
}

/** A citation with the current text of its object. */
export interface CitedPassage {
  citation: ChatCitation;
  before: string;
  text: string;
  after: string;
}

/** What was used since a day, by one of the names of the ledger, and in total. */
export interface CostReport {
  since: string | null;
  by: "day" | "month" | "kind" | "provider" | "model" | "space" | "source" | "tenant";
  rows: Array<CostRow>;
  total: CostRow | null;
}

/** What was used under one name: a day, a model, a tenant. ``texts`` were sent, ``reused`` needed no call. ``estimated_tokens`` are those of ``tokens`` that the provider did not report, or reported as a number that cannot be (``doubtful_calls``). ``cost`` is in US dollars, of the tokens that have a price; null where none has. ``unpriced_tokens`` have none, so where they are not 0, ``cost`` is a part. ``seconds`` were spent waiting for calls. */
export interface CostRow {
  name: string;
  texts: number;
  reused: number;
  characters: number;
  tokens: number;
  estimated_tokens: number;
  output_tokens: number;
  calls: number;
  failed_calls: number;
  retried_calls: number;
  doubtful_calls: number;
  seconds: number;
  cost: string | null;
  unpriced_tokens: number;
}

/** The decision of a person on a tool call. */
export interface DecisionRequest {
  approve: boolean;
  /** Of a refusal; the model reads it. */
  reason?: string;
}

/** An approval after the decision. ``continues``: nothing else waits, and a worker resumes the run. ``note``: what has to be done because no worker does; empty if there is nothing to do. */
export interface DecisionResult {
  id: number;
  execution_id: string;
  execution_url: string;
  agent_name: string;
  /** For whom the agent acts. */
  user_id: number | string | null;
  tool_name: string;
  arguments: unknown;
  status: "PENDING" | "APPROVED" | "DENIED";
  reason: string;
  requested_at: string;
  decided_at: string | null;
  decided_by: number | string | null;
  continues: boolean;
  note: string;
}

/** A run with its prompt, output, tool calls and approvals. */
export interface ExecutionDetail {
  id: string;
  /** Its path. */
  url: string;
  agent_name: string;
  user_id: number | string | null;
  status: "PENDING" | "RUNNING" | "COMPLETED" | "FAILED" | "CANCELLED";
  model: string;
  background: boolean;
  error: string;
  execution_time: number | null;
  tokens_used: number;
  /** US dollars; null where a price is unknown. */
  cost: string | null;
  workflow_id: string | null;
  step: string;
  created_at: string;
  started_at: string | null;
  completed_at: string | null;
  input_prompt: string;
  output_data: unknown;
  /** Answers of the model. */
  requests: number;
  input_tokens: number;
  output_tokens: number;
  tools: Array<ToolCallDetail>;
  approvals: Array<Approval>;
}

/** The latest first. ``next_offset``: of the next page; null on the last one. */
export interface ExecutionPage {
  results: Array<ExecutionSummary>;
  next_offset: number | null;
}

/** A run. */
export interface ExecutionSummary {
  id: string;
  /** Its path. */
  url: string;
  agent_name: string;
  user_id: number | string | null;
  status: "PENDING" | "RUNNING" | "COMPLETED" | "FAILED" | "CANCELLED";
  model: string;
  background: boolean;
  error: string;
  execution_time: number | null;
  tokens_used: number;
  /** US dollars; null where a price is unknown. */
  cost: string | null;
  workflow_id: string | null;
  step: string;
  created_at: string;
  started_at: string | null;
  completed_at: string | null;
}

/** The keys of a model's ``ExternalDataMeta``. ``watch_fields``: paths such as ``author__name`` whose changes cause the row to be rendered anew. ``similarity_threshold``: the similarity, in [0, 1], below which a search that names none does not return the row. ``auto_sync``: whether triggers are installed. ``is_public``: whether everybody may find the rows. ``owner_field``: path to the user who may find a row that is not public. ``refresh_after``: after which time a document that depends on the date is rendered anew. ``language``: the text search configuration of the rows' words, or None for ``SEARCH["LANGUAGE"]``. ``synonyms``: phrases that mean the same in queries for these rows, as tuples, or as dicts from a phrase to others. */
export interface ExternalDataMetaConfig {
  watch_fields: Array<string>;
  similarity_threshold?: number;
  auto_sync?: boolean;
  is_public?: boolean;
  owner_field?: string | null;
  source_type?: ExternalDataType;
  refresh_after?: string | null;
  language?: string | null;
  synonyms?: Array<Array<string> | Record<string, Array<string>>>;
}

/** A request to bring one row into the index. ``model_id`` is the primary key, a JSON array as text for a composite one. ``force_update`` embeds every chunk anew. */
export interface ExternalDataSyncRequest {
  model_name: string;
  model_id: number | string;
  force_update?: boolean;
}

/** What was done. ``processing_time`` is in seconds; ``chunks_created`` counts chunks that got a new vector. ``success`` is false where the row could not be rendered, and where neither a row nor an object of it was there. */
export interface ExternalDataSyncResponse {
  success: boolean;
  external_data_id: number | null;
  message: string;
  processing_time: number;
  chunks_created: number;
}

/** Where the text of a row comes from. */
export type ExternalDataType = "model" | "api" | "custom";

/** The values that most objects have, or the latest periods in their order. ``distinct``: how many there are. */
export interface Facet {
  values: Array<FacetValue>;
  distinct: number;
}

/** What to count, and the user for whom it is done. */
export interface FacetRequest {
  /** Labels of source models; none: all. */
  models?: Array<string> | null;
  /** Conditions on metadata. */
  metadata?: Record<string, unknown> | null;
  /** Each result has all of these. */
  tags?: Array<string> | null;
  /** Entry in the index last changed then or later. */
  changed_from?: string | null;
  /** Entry in the index last changed before. */
  changed_before?: string | null;
  /** tags, model, metadata.KEY, updated:PERIOD, created:PERIOD, metadata.KEY:PERIOD; a period is day, month or year. */
  facets: Array<string>;
  /** Count what a keyword search for this finds; none: everything that passes the filters. */
  query?: string | null;
  /** Values of each facet at most. */
  values?: number;
  /** Search as this user; needs the permission to act for others. */
  user_id?: number | string | null;
}

/** One value of a facet, and how many objects have it. */
export interface FacetValue {
  value: boolean | number | string;
  count: number;
}

/** Counts by facet. ``documents``: how many objects were counted. ``is_complete``: false where there may be more, because the bound on what one call counts was reached. */
export interface Facets {
  documents: number;
  is_complete: boolean;
  facets: Record<string, Facet>;
}

/** An object with a part of its text. ``next_start``: where the rest begins; null where there is none. */
export interface FetchedDocument {
  id: string;
  model: string;
  object_key: string;
  title: string;
  description: string;
  /** What get_absolute_url() of the source row gives, if the model has it. */
  url: string | null;
  tags: Array<string>;
  metadata: Record<string, unknown>;
  is_public: boolean;
  updated_at: string;
  text: string;
  start: number;
  /** Characters of the whole text. */
  length: number;
  next_start: number | null;
}

/** The state of the index. ``space`` is None before the first ``migrate``. ``kept_vectors`` counts the vectors that were paid for and stand in no chunk: of unfinished documents and of dropped spaces. */
export interface IndexStatus {
  space: SpaceStatus | null;
  outages: Array<OutageStatus>;
  caps: Array<CapStatus>;
  kept_vectors: number;
  sources: Array<SourceStatus>;
  unknown: Array<UnknownSourceStatus>;
  reactions: Array<ReactionStatus>;
  workers: Array<WorkerStatus>;
}

/** How far the index covers one source model. ``total_instances`` counts rows, ``synced_instances`` completed objects, and ``pending_sync`` events in the outbox plus objects without their embeddings. ``sync_enabled`` is ``auto_sync`` of the model. */
export interface ModelIntegrationStatus {
  model_name: string;
  total_instances: number;
  synced_instances: number;
  pending_sync: number;
  last_sync: string | null;
  sync_enabled: boolean;
}

/** A chat to start. Without a title it gets that of its first question. */
export interface NewChatSession {
  title?: string;
}

/** A provider that embeds nothing at the moment. ``error`` holds its own words; ``failures`` counts batches. */
export interface OutageStatus {
  provider: string;
  model: string;
  failing_since: string;
  paused_until: string;
  failures: number;
  error: string;
}

/** The columns of the view ``pgknowbase_reaction_status``, and whether this project has the reaction. */
export interface ReactionStatus {
  reaction: string;
  is_declared?: boolean;
  changes?: number;
  pending?: number;
  running?: number;
  failed?: number;
  dead?: number;
  done?: number;
  cancelled?: number;
  oldest_pending?: string | null;
  last_finished?: string | null;
}

/** A run: the response comes at its end, as a stream, or at once with the run left to a worker. */
export interface RunRequest {
  prompt: string;
  deps?: ActingFor | null;
  /** JSON for the agent's tools, which read it as ctx.deps.session_data['context']. */
  context?: Record<string, unknown> | null;
  /** Seconds, if fewer than the agent's own; not for the background. */
  timeout?: number | null;
  /** Answer with server-sent events. */
  stream?: boolean;
  /** Leave it to a worker and answer 202. */
  background?: boolean;
}

/** The result of a run that completed. */
export interface RunResult {
  execution_id: string;
  /** Path of the execution. */
  url: string;
  agent_name: string;
  status: "PENDING" | "RUNNING" | "COMPLETED" | "FAILED" | "CANCELLED";
  /** Text, or JSON as the agent's output type has it. */
  output: unknown;
  /** Seconds. */
  execution_time: number;
  tokens_used: number;
  /** US dollars; null where a price is unknown. */
  cost: string | null;
}

/** Results, best first. ``next_cursor``: pass it as ``cursor`` for the next page, which repeats and skips nothing while objects change; ``next_offset``: the same as an ``offset``. Both are null on the last page; a page with an offset has no cursor, and one with a cursor no offset. ``did_you_mean``: with ``correct_typos``, the query without its typos; null where it has none. */
export interface SearchPage {
  results: Array<SearchResult>;
  limit: number;
  offset: number;
  next_offset: number | null;
  next_cursor: string | null;
  did_you_mean?: string | null;
}

/** A search, and the user for whom it is done. */
export interface SearchRequest {
  /** Labels of source models; none: all. */
  models?: Array<string> | null;
  /** Conditions on metadata. */
  metadata?: Record<string, unknown> | null;
  /** Each result has all of these. */
  tags?: Array<string> | null;
  /** Entry in the index last changed then or later. */
  changed_from?: string | null;
  /** Entry in the index last changed before. */
  changed_before?: string | null;
  /** Results at most. */
  limit?: number;
  /** How many of the best to leave out. */
  offset?: number;
  /** next_cursor of the page before, instead of an offset. */
  cursor?: string | null;
  /** Least similarity; of a keyword search the least BM25 score. */
  threshold?: number | null;
  /** updated, created or metadata.KEY, with - before it for descending order; none: by score. It orders the best 1,000 results. */
  order_by?: string | null;
  /** With order_by: least share of the best score that a result has; 0.5 by default. */
  min_relevance?: number | null;
  /** What to look for. In the modes keyword and hybrid also: "a phrase", -without, one OR another, title:word, pref*. */
  query: string;
  mode?: "semantic" | "keyword" | "hybrid";
  /** Characters of a snippet; with it results have highlighted_title and snippet. */
  snippet_length?: number | null;
  /** Replace words that no object has by the nearest that objects have; see did_you_mean. */
  correct_typos?: boolean;
  /** What meaning weighs against words; for mode 'hybrid'. */
  dense_weight?: number | null;
  /** Search as this user; needs the permission to act for others. */
  user_id?: number | string | null;
}

/** An object found, with its best chunk. ``similarity``: cosine, in [-1, 1]; ``keyword_score``: BM25; either is null where that ranking did not find it. ``score``: what results are ordered by. ``highlighted_title`` and ``snippet``: HTML with ``<mark>`` around the words of the query, and everything else escaped; null unless a snippet was asked for. */
export interface SearchResult {
  id: string;
  model: string;
  object_key: string;
  title: string;
  description: string;
  /** What get_absolute_url() of the source row gives, if the model has it. */
  url: string | null;
  tags: Array<string>;
  metadata: Record<string, unknown>;
  is_public: boolean;
  updated_at: string;
  chunk: string | null;
  span: Span | null;
  similarity: number | null;
  keyword_score: number | null;
  score: number;
  highlighted_title?: string | null;
  snippet?: string | null;
}

/** A search for objects similar to several together, and the user for whom it is done. */
export interface SimilarRequest {
  /** Labels of source models; none: all. */
  models?: Array<string> | null;
  /** Conditions on metadata. */
  metadata?: Record<string, unknown> | null;
  /** Each result has all of these. */
  tags?: Array<string> | null;
  /** Entry in the index last changed then or later. */
  changed_from?: string | null;
  /** Entry in the index last changed before. */
  changed_before?: string | null;
  /** Results at most. */
  limit?: number;
  /** How many of the best to leave out. */
  offset?: number;
  /** next_cursor of the page before, instead of an offset. */
  cursor?: string | null;
  /** Least similarity; of a keyword search the least BM25 score. */
  threshold?: number | null;
  /** updated, created or metadata.KEY, with - before it for descending order; none: by score. It orders the best 1,000 results. */
  order_by?: string | null;
  /** With order_by: least share of the best score that a result has; 0.5 by default. */
  min_relevance?: number | null;
  /** Ids of results. */
  ids: Array<string>;
  /** Search as this user; needs the permission to act for others. */
  user_id?: number | string | null;
}

/** The same with the columns of the view ``pgknowbase_status`` and the costs of rendering. ``total_instances`` is an estimate if ``estimated``. ``unavailable`` says why this version of the project leaves the changes of the model alone; '' if it does not. ``unindexed`` counts the rows that neither the index nor the outbox knows: a sync brings them in, unless their hooks keep them out; None where rows are estimated or the model is unavailable. ``dead`` counts the failed objects that will not be retried, ``lag_seconds`` is the age of the oldest pending change. ``querying_hook`` runs statements for each row; '' if none does. The costs are None if the model was never rendered. */
export interface SourceStatus {
  model_name: string;
  total_instances: number;
  synced_instances: number;
  pending_sync: number;
  last_sync: string | null;
  sync_enabled: boolean;
  source: string;
  unavailable?: string;
  estimated: boolean;
  unindexed?: number | null;
  total?: number;
  completed?: number;
  pending?: number;
  processing?: number;
  failed?: number;
  dead?: number;
  chunks?: number;
  outbox?: number;
  oldest_pending?: string | null;
  lag_seconds?: number;
  embedded_last_minute?: number;
  last_processed?: string | null;
  ms_per_row?: number | null;
  statements_per_row?: number | null;
  slowest_hook?: string;
  querying_hook?: string;
}

/** The active embedding space. ``queue`` counts the documents that wait for their embeddings. Since ``model_changed_at`` another model answers by the name of its model, and nothing is embedded; else it is None. */
export interface SpaceStatus {
  name: string;
  model: string;
  dimensions: number;
  queue: number;
  model_changed_at?: string | null;
}

/** Where a chunk stands in its document: characters from ``start`` up to, not including, ``end``. */
export interface Span {
  start: number;
  end: number;
}

/** One step; ``error`` is empty where it succeeded. */
export interface StepReport {
  path: string;
  agent: string;
  output: unknown;
  error: string;
  execution_id: string | null;
}

/** Rows of one model to bring into the index. */
export interface SyncBatchRequest {
  model_name: string;
  model_ids: Array<number | string>;
  /** Embed every chunk anew. */
  force_update?: boolean;
}

/** Counts of rows by outcome; ``absent``: keys without a row. A worker embeds what is new and what is requeued. */
export interface SyncBatchResponse {
  created: number;
  updated: number;
  metadata: number;
  unchanged: number;
  removed: number;
  requeued: number;
  absent: Array<string>;
  failures: Array<SyncFailure>;
}

/** A row that could not be rendered. The worker retries it. */
export interface SyncFailure {
  object_key: string;
  error: string;
}

/** A call of a tool. */
export interface ToolCallDetail {
  tool_name: string;
  tool_call_id: string;
  arguments: unknown;
  result: unknown;
  status: "RUNNING" | "COMPLETED" | "FAILED" | "REFUSED" | "WAITING";
  error: string;
  execution_time: number | null;
  started_at: string;
  completed_at: string | null;
}

/** A label in outbox or index that no source model of this version has: its objects, waiting changes, what to do. */
export interface UnknownSourceStatus {
  source: string;
  objects: number;
  changes: number;
  advice: string;
}

/** A running worker. ``uptime`` and ``heartbeat_age`` are in seconds; ``busy``: it has leased documents. */
export interface WorkerStatus {
  host: string;
  pid: number;
  role: string;
  uptime: number;
  heartbeat_age: number;
  busy: boolean;
  events: number;
  documents: number;
  failed: number;
}

/** A run of a workflow, with the runs of its agents. */
export interface WorkflowDetail {
  id: string;
  /** Its path. */
  url: string;
  workflow_name: string;
  pattern: string;
  agents: Array<string>;
  user_id: number | string | null;
  status: "PENDING" | "RUNNING" | "COMPLETED" | "FAILED" | "CANCELLED";
  background: boolean;
  error: string;
  /** Percent. */
  progress: number;
  completed_steps: number;
  total_steps: number;
  total_tokens: number;
  total_cost: string | null;
  execution_time: number | null;
  created_at: string;
  completed_at: string | null;
  initial_prompt: string;
  final_output: unknown;
  executions: Array<ExecutionSummary>;
}

/** A workflow that is defined in code and that the caller may run. */
export interface WorkflowInfo {
  name: string;
  description: string;
  /** Of its outermost part. */
  pattern: string;
  /** Those that may run, in their order. */
  agents: Array<string>;
}

/** Workflows, ordered by name. */
export interface WorkflowList {
  results: Array<WorkflowInfo>;
}

/** The latest first. ``next_offset``: of the next page; null on the last one. */
export interface WorkflowPage {
  results: Array<WorkflowSummary>;
  next_offset: number | null;
}

/** Several agents as one: a workflow defined in code, or agents in a pattern, by default one after the other. ``workflow_name`` is the name of a defined workflow, or beside ``agents`` what lists call this one. */
export interface WorkflowRequest {
  /** The name of a defined workflow. */
  workflow?: string | null;
  /** In 'conditional' the first agent chooses one of the others. */
  pattern?: "sequential" | "parallel" | "conditional" | null;
  workflow_name?: string | null;
  agents?: Array<string>;
  prompt: string;
  /** Its name in lists; default: its workflow or pattern. */
  name?: string;
  deps?: ActingFor | null;
  /** Seconds for all steps together. */
  timeout?: number | null;
  /** How many agents of a parallel pattern run at the same time. */
  concurrency?: number | null;
  /** JSON that is kept on the workflow's row, for receivers and for whoever lists them. */
  config?: Record<string, unknown> | null;
  /** Leave it to a worker and answer 202. */
  background?: boolean;
}

/** The result of a workflow that completed. Steps of a parallel part that failed have an ``error``. */
export interface WorkflowRunResult {
  workflow_id: string;
  /** Its path. */
  url: string;
  status: "PENDING" | "RUNNING" | "COMPLETED" | "FAILED" | "CANCELLED";
  output: unknown;
  steps: Array<StepReport>;
  execution_time: number;
  total_tokens: number;
  total_cost: string | null;
}

/** A run of a workflow. */
export interface WorkflowSummary {
  id: string;
  /** Its path. */
  url: string;
  workflow_name: string;
  pattern: string;
  agents: Array<string>;
  user_id: number | string | null;
  status: "PENDING" | "RUNNING" | "COMPLETED" | "FAILED" | "CANCELLED";
  background: boolean;
  error: string;
  /** Percent. */
  progress: number;
  completed_steps: number;
  total_steps: number;
  total_tokens: number;
  total_cost: string | null;
  execution_time: number | null;
  created_at: string;
  completed_at: string | null;
}

export interface SearchByUrlQuery {
  /** Labels of source models; none: all. */
  models?: Array<string> | null;
  /** Conditions on metadata, as JSON. */
  metadata?: string | null;
  /** Each result has all of these. */
  tags?: Array<string> | null;
  /** Entry in the index last changed then or later. */
  changed_from?: string | null;
  /** Entry in the index last changed before. */
  changed_before?: string | null;
  /** Results at most. */
  limit?: number;
  /** How many of the best to leave out. */
  offset?: number;
  /** next_cursor of the page before, instead of an offset. */
  cursor?: string | null;
  /** Least similarity; of a keyword search the least BM25 score. */
  threshold?: number | null;
  /** updated, created or metadata.KEY, with - before it for descending order; none: by score. It orders the best 1,000 results. */
  order_by?: string | null;
  /** With order_by: least share of the best score that a result has; 0.5 by default. */
  min_relevance?: number | null;
  /** What to look for. In the modes keyword and hybrid also: "a phrase", -without, one OR another, title:word, pref*. */
  query: string;
  mode?: "semantic" | "keyword" | "hybrid";
  /** Characters of a snippet; with it results have highlighted_title and snippet. */
  snippet_length?: number | null;
  /** Replace words that no object has by the nearest that objects have; see did_you_mean. */
  correct_typos?: boolean;
  /** What meaning weighs against words; for mode 'hybrid'. */
  dense_weight?: number | null;
}

export interface FacetsByUrlQuery {
  /** Labels of source models; none: all. */
  models?: Array<string> | null;
  /** Conditions on metadata, as JSON. */
  metadata?: string | null;
  /** Each result has all of these. */
  tags?: Array<string> | null;
  /** Entry in the index last changed then or later. */
  changed_from?: string | null;
  /** Entry in the index last changed before. */
  changed_before?: string | null;
  /** tags, model, metadata.KEY, updated:PERIOD, created:PERIOD, metadata.KEY:PERIOD; a period is day, month or year. */
  facets: Array<string>;
  /** Count what a keyword search for this finds; none: everything that passes the filters. */
  query?: string | null;
  /** Values of each facet at most. */
  values?: number;
}

export interface SimilarQuery {
  /** Labels of source models; none: all. */
  models?: Array<string> | null;
  /** Conditions on metadata, as JSON. */
  metadata?: string | null;
  /** Each result has all of these. */
  tags?: Array<string> | null;
  /** Entry in the index last changed then or later. */
  changed_from?: string | null;
  /** Entry in the index last changed before. */
  changed_before?: string | null;
  /** Results at most. */
  limit?: number;
  /** How many of the best to leave out. */
  offset?: number;
  /** next_cursor of the page before, instead of an offset. */
  cursor?: string | null;
  /** Least similarity; of a keyword search the least BM25 score. */
  threshold?: number | null;
  /** updated, created or metadata.KEY, with - before it for descending order; none: by score. It orders the best 1,000 results. */
  order_by?: string | null;
  /** With order_by: least share of the best score that a result has; 0.5 by default. */
  min_relevance?: number | null;
  /** Its source model. */
  model: string;
  /** Its primary key, a JSON array for a composite one. */
  key: string;
}

export interface DocumentQuery {
  /** Its source model. */
  model: string;
  /** Its primary key, a JSON array for a composite one. */
  key: string;
  start?: number;
  length?: number;
}

export interface CostsQuery {
  /** First day; without it all days. */
  since?: string | null;
  /** What each row is about. */
  by?: "day" | "month" | "kind" | "provider" | "model" | "space" | "source" | "tenant";
}

export interface ListExecutionsQuery {
  /** Results at most. */
  limit?: number;
  offset?: number;
  status?: "PENDING" | "RUNNING" | "COMPLETED" | "FAILED" | "CANCELLED" | null;
  created_from?: string | null;
  created_before?: string | null;
  agent?: string | null;
}

export interface ListApprovalsQuery {
  /** Results at most. */
  limit?: number;
  offset?: number;
  status?: "PENDING" | "APPROVED" | "DENIED";
}

export interface ListWorkflowsQuery {
  /** Results at most. */
  limit?: number;
  offset?: number;
  status?: "PENDING" | "RUNNING" | "COMPLETED" | "FAILED" | "CANCELLED" | null;
  created_from?: string | null;
  created_before?: string | null;
}

export interface ChatSessionsQuery {
  limit?: number;
  offset?: number;
}

export interface ChatMessagesQuery {
  limit?: number;
  offset?: number;
}

export class KnowbaseClient extends BaseClient {
  /** Search with all options in the query string. Metadata conditions are JSON. */
  searchByUrl(query: SearchByUrlQuery, options: CallOptions = {}): Promise<SearchPage> {
    return this.call<SearchPage>("GET", "knowledge/search/", { query, ...options });
  }

  /** Search what the caller may see: dense, keyword or hybrid. */
  search(body: SearchRequest, options: PostOptions = {}): Promise<SearchPage> {
    return this.call<SearchPage>("POST", "knowledge/search/", { body, ...options });
  }

  /** Count with all options in the query string. Metadata conditions are JSON. */
  facetsByUrl(query: FacetsByUrlQuery, options: CallOptions = {}): Promise<Facets> {
    return this.call<Facets>("GET", "knowledge/facets/", { query, ...options });
  }

  /** How many objects the caller may see, by tag, model, value of a metadata key or period. */
  facets(body: FacetRequest, options: PostOptions = {}): Promise<Facets> {
    return this.call<Facets>("POST", "knowledge/facets/", { body, ...options });
  }

  /** The objects most similar to one that the caller may see. */
  similar(query: SimilarQuery, options: CallOptions = {}): Promise<SearchPage> {
    return this.call<SearchPage>("GET", "knowledge/similar/", { query, ...options });
  }

  /** The objects most similar to several together, which the caller may see. */
  similarToSeveral(body: SimilarRequest, options: PostOptions = {}): Promise<SearchPage> {
    return this.call<SearchPage>("POST", "knowledge/similar/", { body, ...options });
  }

  /** The text of an object that the caller may see, or a part of it. */
  document(query: DocumentQuery, options: CallOptions = {}): Promise<FetchedDocument> {
    return this.call<FetchedDocument>("GET", "knowledge/document/", { query, ...options });
  }

  /** Bring one row into the index, or take it out. A worker embeds it. Repeating it changes nothing. */
  sync(body: ExternalDataSyncRequest, options: PostOptions = {}): Promise<ExternalDataSyncResponse> {
    return this.call<ExternalDataSyncResponse>("POST", "knowledge/sync/", { body, ...options });
  }

  /** Bring up to 100 rows of one model into the index. A worker embeds them. Repeating it changes nothing. */
  syncBatch(body: SyncBatchRequest, options: PostOptions = {}): Promise<SyncBatchResponse> {
    return this.call<SyncBatchResponse>("POST", "knowledge/sync/batch/", { body, ...options });
  }

  /** What providers were paid for embeddings, chats and agents, by day, model, tenant or another name. */
  costs(query: CostsQuery = {}, options: CallOptions = {}): Promise<CostReport> {
    return this.call<CostReport>("GET", "knowledge/costs/", { query, ...options });
  }

  /** How far the index is, per source model; the active embedding space; the workers. */
  status(options: CallOptions = {}): Promise<IndexStatus> {
    return this.call<IndexStatus>("GET", "knowledge/status/", { ...options });
  }

  /** The agents that the caller may run. */
  listAgents(options: CallOptions = {}): Promise<AgentList> {
    return this.call<AgentList>("GET", "orchestrator/ai-agents/", { ...options });
  }

  /** Run an agent as the caller. 202: it waits for a worker, or for a person's approval. Heeds Idempotency-Key. */
  runAgent(path: { agent_name: string }, body: RunRequest, options: PostOptions = {}): Promise<RunResult | ExecutionSummary> {
    return this.call<RunResult | ExecutionSummary>("POST", "orchestrator/ai-agents/{agent_name}/run/", { body, path, ...options });
  }

  /** The caller's runs, or with the permission to view them all runs; the latest first. */
  listExecutions(query: ListExecutionsQuery = {}, options: CallOptions = {}): Promise<ExecutionPage> {
    return this.call<ExecutionPage>("GET", "orchestrator/executions/", { query, ...options });
  }

  /** One run, with the tools that it called and what it waits for. */
  execution(path: { execution_id: string }, options: CallOptions = {}): Promise<ExecutionDetail> {
    return this.call<ExecutionDetail>("GET", "orchestrator/executions/{execution_id}/", { path, ...options });
  }

  /** Cancel a run: one that waits at once, one that is at work within some seconds. */
  cancelExecution(path: { execution_id: string }, options: PostOptions = {}): Promise<ExecutionSummary> {
    return this.call<ExecutionSummary>("POST", "orchestrator/executions/{execution_id}/cancel/", { path, ...options });
  }

  /** A new run in the background with the prompt and user of this one. Heeds Idempotency-Key. */
  retryExecution(path: { execution_id: string }, options: PostOptions = {}): Promise<ExecutionSummary> {
    return this.call<ExecutionSummary>("POST", "orchestrator/executions/{execution_id}/retry/", { path, ...options });
  }

  /** Tool calls that wait for a person: of the caller's runs, or of all for those who may view or decide them. */
  listApprovals(query: ListApprovalsQuery = {}, options: CallOptions = {}): Promise<ApprovalPage> {
    return this.call<ApprovalPage>("GET", "orchestrator/approvals/", { query, ...options });
  }

  /** Allow or refuse a tool call. After the last decision a worker resumes the run, unless ``note`` says more. */
  decideApproval(path: { approval_id: number }, body: DecisionRequest, options: PostOptions = {}): Promise<DecisionResult> {
    return this.call<DecisionResult>("POST", "orchestrator/approvals/{approval_id}/decide/", { body, path, ...options });
  }

  /** The workflows defined in code whose agents the caller may all run. */
  listDefinedWorkflows(options: CallOptions = {}): Promise<WorkflowList> {
    return this.call<WorkflowList>("GET", "orchestrator/ai-workflows/", { ...options });
  }

  /** Run several agents as one, as the caller. 202: it waits, for a worker or an approval. Heeds Idempotency-Key. */
  executeWorkflow(body: WorkflowRequest, options: PostOptions = {}): Promise<WorkflowRunResult | WorkflowSummary> {
    return this.call<WorkflowRunResult | WorkflowSummary>("POST", "orchestrator/workflows/execute/", { body, ...options });
  }

  /** The caller's runs of workflows, or with the permission to view them all; the latest first. */
  listWorkflows(query: ListWorkflowsQuery = {}, options: CallOptions = {}): Promise<WorkflowPage> {
    return this.call<WorkflowPage>("GET", "orchestrator/workflows/", { query, ...options });
  }

  /** One run of a workflow, with the runs of its agents. */
  workflow(path: { workflow_id: string }, options: CallOptions = {}): Promise<WorkflowDetail> {
    return this.call<WorkflowDetail>("GET", "orchestrator/workflows/{workflow_id}/", { path, ...options });
  }

  /** Cancel a workflow with its runs: no step begins after it. */
  cancelWorkflow(path: { workflow_id: string }, options: PostOptions = {}): Promise<WorkflowSummary> {
    return this.call<WorkflowSummary>("POST", "orchestrator/workflows/{workflow_id}/cancel/", { path, ...options });
  }

  /** Let a worker resume a workflow that failed or was interrupted; finished steps stay. */
  resumeWorkflow(path: { workflow_id: string }, options: PostOptions = {}): Promise<WorkflowSummary> {
    return this.call<WorkflowSummary>("POST", "orchestrator/workflows/{workflow_id}/resume/", { path, ...options });
  }

  /** The caller's chats. */
  chatSessions(query: ChatSessionsQuery = {}, options: CallOptions = {}): Promise<ChatSessionPage> {
    return this.call<ChatSessionPage>("GET", "chat/sessions/", { query, ...options });
  }

  /** Start a chat. */
  startChat(body: NewChatSession, options: PostOptions = {}): Promise<ChatSessionSummary> {
    return this.call<ChatSessionSummary>("POST", "chat/sessions/", { body, ...options });
  }

  /** One of the caller's chats, with the tokens and cost of its answers. */
  chatSession(path: { session_id: string }, options: CallOptions = {}): Promise<ChatSessionDetail> {
    return this.call<ChatSessionDetail>("GET", "chat/sessions/{session_id}/", { path, ...options });
  }

  /** Delete one of the caller's chats with its messages. The rows of its runs stay. */
  deleteChat(path: { session_id: string }, options: PostOptions = {}): Promise<void> {
    return this.call<void>("DELETE", "chat/sessions/{session_id}/", { path, ...options });
  }

  /** The messages of a chat, oldest first. */
  chatMessages(path: { session_id: string }, query: ChatMessagesQuery = {}, options: CallOptions = {}): Promise<ChatMessagePage> {
    return this.call<ChatMessagePage>("GET", "chat/sessions/{session_id}/messages/", { query, path, ...options });
  }

  /** Ask a question and wait for the whole answer. Heeds Idempotency-Key. */
  askChat(path: { session_id: string }, body: ChatQuestion, options: PostOptions = {}): Promise<ChatEntry> {
    return this.call<ChatEntry>("POST", "chat/sessions/{session_id}/messages/", { body, path, ...options });
  }

  /** The passage that a marker names, in the current text of its object, if the caller may see it. */
  chatCitation(path: { session_id: string; message_id: number; number: number }, options: CallOptions = {}): Promise<CitedPassage> {
    return this.call<CitedPassage>("GET", "chat/sessions/{session_id}/messages/{message_id}/citations/{number}/", { path, ...options });
  }
}
