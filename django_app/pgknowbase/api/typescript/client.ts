// Made by 'manage.py pgknowbase_openapi --format typescript'. Do not edit.

import { BaseClient } from "./runtime.js";
import type { CallOptions, PostOptions } from "./runtime.js";

export { ProblemError } from "./runtime.js";
export type { CallOptions, ClientOptions, PostOptions } from "./runtime.js";

/** For whom the agent acts. */
export interface ActingFor {
  /** Somebody else; needs the permission to act for others. */
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

/** By name. */
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

/** What was decided. ``continues``: nothing else waits, and a worker goes on with the run. ``note``: what has to be done because no worker does; empty if there is nothing to do. */
export interface ApprovalAnswer {
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

/** The latest first. ``next_offset``: of the next page; null on the last one. */
export interface ApprovalPage {
  results: Array<Approval>;
  next_offset: number | null;
}

/** What ``[number]`` in the text names: a chunk of an object, and where it stands in the object's text. */
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

/** A message. ``mode`` tells how an answer was made: by a model, of passages as they are, or that none is known. */
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
  /** Markers of the model that named nothing; they are not in the text. */
  dropped: Array<string>;
  usage: ChatUsage;
  created_at: string;
}

/** Messages, in their order. */
export interface ChatMessagePage {
  results: Array<ChatEntry>;
  next_offset: number | null;
}

/** What to answer. */
export interface ChatQuestion {
  question: string;
}

/** A chat, with what all its answers came to. */
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

/** A citation with the text of its object as it is now. */
export interface CitedPassage {
  citation: ChatCitation;
  before: string;
  text: string;
  after: string;
}

/** What a person says of a tool call. */
export interface DecisionRequest {
  approve: boolean;
  /** Of a refusal; the model is told. */
  reason?: string;
}

/** A run with what it said and called. */
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

/** The keys of a model's ``ExternalDataMeta``. ``watch_fields``: paths whose changes bring the row back into the index. ``similarity_threshold``: the least similarity, in [0, 1], at which the row is a hit when a search names none. ``auto_sync``: whether triggers are installed. ``is_public``: whether everybody may find the rows. ``owner_field``: path to the user who may find a row that is not public. ``refresh_after``: how long a document that depends on the date stays fresh. ``language``: the text search configuration of the rows' words; None: as SEARCH["LANGUAGE"] says. */
export interface ExternalDataMetaConfig {
  watch_fields: Array<string>;
  similarity_threshold?: number;
  auto_sync?: boolean;
  is_public?: boolean;
  owner_field?: string | null;
  source_type?: "model" | "api" | "custom";
  refresh_after?: string | null;
  language?: string | null;
}

/** Bring one row into the index. ``model_id``: the primary key, a JSON array as text for a composite one. */
export interface ExternalDataSyncRequest {
  model_name: string;
  model_id: number | string;
  force_update?: boolean;
}

/** What became of it. ``processing_time``: seconds; ``chunks_created``: chunks that got a new vector meanwhile. */
export interface ExternalDataSyncResponse {
  success: boolean;
  external_data_id: number | null;
  message: string;
  processing_time: number;
  chunks_created: number;
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

/** What is wrong with one part of the request. */
export interface FieldProblem {
  /** body, query, path or header. */
  where: string;
  /** JSON pointer to the value inside it. */
  pointer: string;
  detail: string;
}

/** How far the index is. ``space`` is None before the first ``migrate``. */
export interface IndexStatus {
  space: SpaceStatus | null;
  sources: Array<SourceStatus>;
  reactions: Array<ReactionStatus>;
  workers: Array<WorkerStatus>;
}

/** How well one source model and the index agree. ``pending_sync`` counts what waits: events in the outbox, and objects without their embeddings. ``sync_enabled`` is False where only the methods and commands sync (``auto_sync``). */
export interface ModelIntegrationStatus {
  model_name: string;
  total_instances: number;
  synced_instances: number;
  pending_sync: number;
  last_sync: string | null;
  sync_enabled: boolean;
}

/** A chat to begin. Without a title it gets that of its first question. */
export interface NewChatSession {
  title?: string;
}

/** Why a request was refused (RFC 9457). ``type`` tells kinds apart, ``detail`` is for people. */
export interface ProblemDetails {
  type: string;
  title: string;
  status: number;
  detail: string;
  /** Path of the run or workflow that did not complete. */
  instance?: string | null;
  /** Each part of the request that is wrong. */
  errors?: Array<FieldProblem>;
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

/** One run: answered at its end, or streamed, or left to a worker. */
export interface RunRequest {
  prompt: string;
  deps?: ActingFor | null;
  /** Seconds, if fewer than the agent's own; not for the background. */
  timeout?: number | null;
  /** Answer with server-sent events. */
  stream?: boolean;
  /** Leave it to a worker and answer 202. */
  background?: boolean;
}

/** What a run came to. */
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

/** Results, best first. ``next_offset``: pass it as ``offset`` for the next page; null on the last one. */
export interface SearchPage {
  results: Array<SearchResult>;
  limit: number;
  offset: number;
  next_offset: number | null;
}

/** A search, and for whom. */
export interface SearchRequest {
  /** Labels of source models; none: all. */
  models?: Array<string> | null;
  /** Results at most. */
  limit?: number;
  /** How many of the best to leave out. */
  offset?: number;
  /** Least similarity; of a keyword search the least BM25 score. */
  threshold?: number | null;
  /** Conditions on metadata. */
  metadata?: Record<string, unknown> | null;
  /** Each result has all of these. */
  tags?: Array<string> | null;
  /** Entry in the index last changed then or later. */
  changed_from?: string | null;
  /** Entry in the index last changed before. */
  changed_before?: string | null;
  /** What to look for. */
  query: string;
  leg?: "semantic" | "keyword" | "hybrid";
  /** What meaning weighs against words; for leg 'hybrid'. */
  dense_weight?: number | null;
  /** Search as this user; needs the permission to act for others. */
  user_id?: number | string | null;
}

/** An object found, with its best chunk. ``similarity``: cosine, in [-1, 1]; ``keyword_score``: BM25; either is null where that leg did not find it. ``score``: what results are ordered by. */
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
}

/** The same, the columns of the view ``pgknowbase_status``, and what rendering costs. ``estimated`` tells that rows were not counted. ``querying_hook`` is a hook that runs statements for each row; '' for none. What was never rendered has no costs. */
export interface SourceStatus {
  model_name: string;
  total_instances: number;
  synced_instances: number;
  pending_sync: number;
  last_sync: string | null;
  sync_enabled: boolean;
  source: string;
  estimated: boolean;
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

/** The embedding space that searches read. ``queue``: documents that wait for it. */
export interface SpaceStatus {
  name: string;
  model: string;
  dimensions: number;
  queue: number;
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

/** Bring some rows of one model into the index. */
export interface SyncBatchRequest {
  model_name: string;
  model_ids: Array<number | string>;
  /** Embed every chunk anew. */
  force_update?: boolean;
}

/** What became of the rows, counted. A worker embeds what is new. */
export interface SyncBatchResponse {
  created: number;
  updated: number;
  metadata: number;
  unchanged: number;
  removed: number;
  failures: Array<SyncFailure>;
}

/** A row that could not be rendered; the worker tries again. */
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

/** A worker that beats; ``beat_age`` and ``uptime`` in seconds, ``busy`` if it has documents on lease. */
export interface WorkerStatus {
  host: string;
  pid: number;
  role: string;
  uptime: number;
  beat_age: number;
  busy: boolean;
  events: number;
  documents: number;
  failed: number;
}

/** What a workflow came to. Steps that failed beside others that did not have an ``error``. */
export interface WorkflowAnswer {
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

/** The same with its runs. */
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

/** By name. */
export interface WorkflowList {
  results: Array<WorkflowInfo>;
}

/** The latest first. ``next_offset``: of the next page; null on the last one. */
export interface WorkflowPage {
  results: Array<WorkflowSummary>;
  next_offset: number | null;
}

/** Several agents as one: a workflow defined in code, or a pattern with agents. */
export interface WorkflowRequest {
  /** The name of one that is defined. */
  workflow?: string | null;
  /** In 'conditional' the first agent chooses one of the others. */
  pattern?: "sequential" | "parallel" | "conditional" | null;
  agents?: Array<string>;
  prompt: string;
  /** What to call it; default: its workflow or pattern. */
  name?: string;
  deps?: ActingFor | null;
  /** Seconds of the whole. */
  timeout?: number | null;
  /** Of a parallel one: runs at once. */
  concurrency?: number | null;
  /** Leave it to a worker and answer 202. */
  background?: boolean;
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
  /** Results at most. */
  limit?: number;
  /** How many of the best to leave out. */
  offset?: number;
  /** Least similarity; of a keyword search the least BM25 score. */
  threshold?: number | null;
  /** Conditions on metadata, as JSON. */
  metadata?: string | null;
  /** Each result has all of these. */
  tags?: Array<string> | null;
  /** Entry in the index last changed then or later. */
  changed_from?: string | null;
  /** Entry in the index last changed before. */
  changed_before?: string | null;
  /** What to look for. */
  query: string;
  leg?: "semantic" | "keyword" | "hybrid";
  /** What meaning weighs against words; for leg 'hybrid'. */
  dense_weight?: number | null;
}

export interface SimilarQuery {
  /** Labels of source models; none: all. */
  models?: Array<string> | null;
  /** Results at most. */
  limit?: number;
  /** How many of the best to leave out. */
  offset?: number;
  /** Least similarity; of a keyword search the least BM25 score. */
  threshold?: number | null;
  /** Conditions on metadata, as JSON. */
  metadata?: string | null;
  /** Each result has all of these. */
  tags?: Array<string> | null;
  /** Entry in the index last changed then or later. */
  changed_from?: string | null;
  /** Entry in the index last changed before. */
  changed_before?: string | null;
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

export interface ListApprovalsQuery {
  /** Results at most. */
  limit?: number;
  offset?: number;
  status?: "PENDING" | "APPROVED" | "DENIED";
}

export interface ListExecutionsQuery {
  /** Results at most. */
  limit?: number;
  offset?: number;
  agent?: string | null;
  status?: "PENDING" | "RUNNING" | "COMPLETED" | "FAILED" | "CANCELLED" | null;
  created_from?: string | null;
  created_before?: string | null;
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
  /** Search, with everything in the address. Metadata conditions are JSON. */
  searchByUrl(query: SearchByUrlQuery, options: CallOptions = {}): Promise<SearchPage> {
    return this.call<SearchPage>("GET", "knowledge/search/", { query, ...options });
  }

  /** Search what the caller may see: by meaning, by words or by both. */
  search(body: SearchRequest, options: PostOptions = {}): Promise<SearchPage> {
    return this.call<SearchPage>("POST", "knowledge/search/", { body, ...options });
  }

  /** What is most like an object that the caller may see. */
  similar(query: SimilarQuery, options: CallOptions = {}): Promise<SearchPage> {
    return this.call<SearchPage>("GET", "knowledge/similar/", { query, ...options });
  }

  /** The text of an object that the caller may see, in parts. */
  document(query: DocumentQuery, options: CallOptions = {}): Promise<FetchedDocument> {
    return this.call<FetchedDocument>("GET", "knowledge/document/", { query, ...options });
  }

  /** Bring one row into the index, or take it out. A worker embeds it. Heeds Idempotency-Key. */
  sync(body: ExternalDataSyncRequest, options: PostOptions = {}): Promise<ExternalDataSyncResponse> {
    return this.call<ExternalDataSyncResponse>("POST", "knowledge/sync/", { body, ...options });
  }

  /** Bring up to 100 rows of one model into the index. A worker embeds them. Heeds Idempotency-Key. */
  syncBatch(body: SyncBatchRequest, options: PostOptions = {}): Promise<SyncBatchResponse> {
    return this.call<SyncBatchResponse>("POST", "knowledge/sync/batch/", { body, ...options });
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

  /** Tool calls that wait for a person: of the caller's runs, or of all for those who may view or decide them. */
  listApprovals(query: ListApprovalsQuery = {}, options: CallOptions = {}): Promise<ApprovalPage> {
    return this.call<ApprovalPage>("GET", "orchestrator/approvals/", { query, ...options });
  }

  /** Allow or refuse a tool call. After the last decision a worker goes on with the run, unless ``note`` says more. */
  decideApproval(path: { approval_id: number }, body: DecisionRequest, options: PostOptions = {}): Promise<ApprovalAnswer> {
    return this.call<ApprovalAnswer>("POST", "orchestrator/approvals/{approval_id}/decide/", { body, path, ...options });
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

  /** A new run in the background of what this one was asked, for the same user. Heeds Idempotency-Key. */
  retryExecution(path: { execution_id: string }, options: PostOptions = {}): Promise<ExecutionSummary> {
    return this.call<ExecutionSummary>("POST", "orchestrator/executions/{execution_id}/retry/", { path, ...options });
  }

  /** The workflows defined in code whose agents the caller may all run. */
  listDefinedWorkflows(options: CallOptions = {}): Promise<WorkflowList> {
    return this.call<WorkflowList>("GET", "orchestrator/ai-workflows/", { ...options });
  }

  /** Run several agents as one, as the caller. 202: it waits, for a worker or an approval. Heeds Idempotency-Key. */
  executeWorkflow(body: WorkflowRequest, options: PostOptions = {}): Promise<WorkflowAnswer | WorkflowSummary> {
    return this.call<WorkflowAnswer | WorkflowSummary>("POST", "orchestrator/workflows/execute/", { body, ...options });
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

  /** Let a worker go on with one that failed or was interrupted; finished steps stay. Heeds Idempotency-Key. */
  resumeWorkflow(path: { workflow_id: string }, options: PostOptions = {}): Promise<WorkflowSummary> {
    return this.call<WorkflowSummary>("POST", "orchestrator/workflows/{workflow_id}/resume/", { path, ...options });
  }

  /** The caller's chats. */
  chatSessions(query: ChatSessionsQuery = {}, options: CallOptions = {}): Promise<ChatSessionPage> {
    return this.call<ChatSessionPage>("GET", "chat/sessions/", { query, ...options });
  }

  /** Begin a chat. Heeds Idempotency-Key. */
  startChat(body: NewChatSession, options: PostOptions = {}): Promise<ChatSessionSummary> {
    return this.call<ChatSessionSummary>("POST", "chat/sessions/", { body, ...options });
  }

  /** One of the caller's chats, and what its answers came to. */
  chatSession(path: { session_id: string }, options: CallOptions = {}): Promise<ChatSessionDetail> {
    return this.call<ChatSessionDetail>("GET", "chat/sessions/{session_id}/", { path, ...options });
  }

  /** Delete one of the caller's chats with its messages. The rows of its runs stay. */
  deleteChat(path: { session_id: string }, options: PostOptions = {}): Promise<void> {
    return this.call<void>("DELETE", "chat/sessions/{session_id}/", { path, ...options });
  }

  /** The messages of a chat, the first one first. */
  chatMessages(path: { session_id: string }, query: ChatMessagesQuery = {}, options: CallOptions = {}): Promise<ChatMessagePage> {
    return this.call<ChatMessagePage>("GET", "chat/sessions/{session_id}/messages/", { query, path, ...options });
  }

  /** Ask a question and wait for the whole answer. Heeds Idempotency-Key. */
  askChat(path: { session_id: string }, body: ChatQuestion, options: PostOptions = {}): Promise<ChatEntry> {
    return this.call<ChatEntry>("POST", "chat/sessions/{session_id}/messages/", { body, path, ...options });
  }

  /** What a marker names, in the text of its object as it is now and as far as the caller may see it. */
  chatCitation(path: { session_id: string; message_id: number; number: number }, options: CallOptions = {}): Promise<CitedPassage> {
    return this.call<CitedPassage>("GET", "chat/sessions/{session_id}/messages/{message_id}/citations/{number}/", { path, ...options });
  }
}
