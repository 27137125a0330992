"""Bodies, query parameters and responses of the routes of agents."""

from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, Field, model_validator

from pgknowbase.api.parameters import Moment, Text
from pgknowbase.core.strict import StrictModel
from pgknowbase.core.times import Instant

LONGEST_PROMPT = 100_000
LONGEST_RUN = 3600
MOST_AGENTS = 20
LARGEST_ID = 2**63 - 1

RunStatus = Literal["PENDING", "RUNNING", "COMPLETED", "FAILED", "CANCELLED"]
Decision = Literal["PENDING", "APPROVED", "DENIED"]
Pattern = Literal["sequential", "parallel", "conditional"]


class Body(StrictModel):
    """A request body."""


class ActingFor(Body):
    """The user for whom an agent acts."""

    user_id: int | Text | None = Field(None, description="Another user; needs the permission to act for others.")


class RunRequest(Body):
    """A run: the response comes at its end, as a stream, or at once with the run left to a worker."""

    prompt: Text = Field(min_length=1, max_length=LONGEST_PROMPT, examples=["Summarise the news of today"])
    deps: ActingFor | None = None
    context: dict[str, Any] | None = Field(
        None, description="JSON for the agent's tools, which read it as ctx.deps.session_data['context']."
    )
    timeout: float | None = Field(
        None, ge=1, le=LONGEST_RUN, description="Seconds, if fewer than the agent's own; not for the background."
    )
    stream: bool = Field(False, description="Answer with server-sent events.")
    background: bool = Field(False, description="Leave it to a worker and answer 202.")

    @model_validator(mode="after")
    def _one_way(self) -> "RunRequest":
        if self.stream and self.background:
            raise ValueError("a run in the background cannot be streamed: choose one of both")
        if self.background and self.timeout:
            raise ValueError("a run in the background has the timeout of its agent: leave it out")
        return self


class WorkflowRequest(Body):
    """Several agents as one: a workflow defined in code, or agents in a pattern, by default one after the other.

    ``workflow_name`` is the name of a defined workflow, or beside ``agents`` what lists call this one.
    """

    workflow: Text | None = Field(None, min_length=1, max_length=200, description="The name of a defined workflow.")
    pattern: Pattern | None = Field(None, description="In 'conditional' the first agent chooses one of the others.")
    workflow_name: Text | None = Field(None, min_length=1, max_length=200)
    agents: list[Text] = Field([], max_length=MOST_AGENTS, examples=[["content_analyzer", "writer"]])
    prompt: Text = Field(min_length=1, max_length=LONGEST_PROMPT)
    name: Text = Field("", max_length=200, description="Its name in lists; default: its workflow or pattern.")
    deps: ActingFor | None = None
    timeout: float | None = Field(None, ge=1, le=LONGEST_RUN, description="Seconds for all steps together.")
    concurrency: int | None = Field(
        None, ge=1, le=MOST_AGENTS, description="How many agents of a parallel pattern run at the same time."
    )
    config: dict[str, Any] | None = Field(
        None, description="JSON that is kept on the workflow's row, for receivers and for whoever lists them."
    )
    background: bool = Field(False, description="Leave it to a worker and answer 202.")

    @model_validator(mode="before")
    @classmethod
    def _named(cls, given: Any) -> Any:
        """``workflow_name`` stands for one of two other keys."""
        if not isinstance(given, dict) or given.get("workflow_name") is None:
            return given
        key = "name" if given.get("agents") else "workflow"
        if given.get(key) is not None:
            raise ValueError(f"workflow_name and {key} name the same: leave one of them out")
        return {**given, key: given["workflow_name"]}

    @model_validator(mode="after")
    def _one_kind(self) -> "WorkflowRequest":
        if self.workflow is not None and (self.pattern is not None or self.agents):
            raise ValueError("a defined workflow has its agents: leave out pattern and agents")
        if self.workflow is None and not self.agents:
            raise ValueError("name a workflow, or the agents of a pattern")
        return self


class DecisionRequest(Body):
    """The decision of a person on a tool call."""

    approve: bool
    reason: Text = Field("", max_length=2000, description="Of a refusal; the model reads it.")


class Page(BaseModel):
    """A page of a list."""

    limit: int = Field(20, ge=1, description="Results at most.")
    offset: int = Field(0, ge=0, le=1_000_000)


class RunFilter(Page):
    """Filters that lists of runs and of workflows share."""

    status: RunStatus | None = None
    created_from: Moment | None = None
    created_before: Moment | None = None


class ExecutionFilter(RunFilter):
    """Filters of the list of runs."""

    agent: Text | None = Field(None, max_length=200)


class WorkflowFilter(RunFilter):
    """Filters of the list of workflows."""


class ApprovalFilter(Page):
    """Filters of the list of approvals."""

    status: Decision = "PENDING"


class AgentInfo(BaseModel):
    """An agent that the caller may run."""

    name: str
    description: str
    kept_in: Literal["code", "database"]
    model: str | None = Field(description="Null: none is configured, so it cannot run.")


class AgentList(BaseModel):
    """Agents, ordered by name."""

    results: list[AgentInfo]


class WorkflowInfo(BaseModel):
    """A workflow that is defined in code and that the caller may run."""

    name: str
    description: str
    pattern: str = Field(description="Of its outermost part.")
    agents: list[str] = Field(description="Those that may run, in their order.")


class WorkflowList(BaseModel):
    """Workflows, ordered by name."""

    results: list[WorkflowInfo]


class RunStarted(BaseModel):
    """Event of a stream: the run has started."""

    execution_id: UUID
    url: str = Field(description="Path of the execution.")


class RunText(BaseModel):
    """Event of a stream: the next piece of a text."""

    text: str


class RunPartial(BaseModel):
    """Event of a stream: an output that is not text, as far as it is written."""

    output: Any


class RunResult(BaseModel):
    """The result of a run that completed."""

    execution_id: UUID
    url: str = Field(description="Path of the execution.")
    agent_name: str
    status: RunStatus
    output: Any = Field(description="Text, or JSON as the agent's output type has it.")
    execution_time: float = Field(description="Seconds.")
    tokens_used: int
    cost: str | None = Field(description="US dollars; null where a price is unknown.")


class ExecutionSummary(BaseModel):
    """A run."""

    id: UUID
    url: str = Field(description="Its path.")
    agent_name: str
    user_id: int | str | None
    status: RunStatus
    model: str
    background: bool
    error: str
    execution_time: float | None
    tokens_used: int
    cost: str | None = Field(description="US dollars; null where a price is unknown.")
    workflow_id: UUID | None
    step: str
    created_at: Instant
    started_at: Instant | None
    completed_at: Instant | None


class ToolCallDetail(BaseModel):
    """A call of a tool."""

    tool_name: str
    tool_call_id: str
    arguments: Any
    result: Any
    status: Literal["RUNNING", "COMPLETED", "FAILED", "REFUSED", "WAITING"]
    error: str
    execution_time: float | None
    started_at: Instant
    completed_at: Instant | None


class Approval(BaseModel):
    """A tool call that a person has to allow."""

    id: int
    execution_id: UUID
    execution_url: str
    agent_name: str
    user_id: int | str | None = Field(description="For whom the agent acts.")
    tool_name: str
    arguments: Any
    status: Decision
    reason: str
    requested_at: Instant
    decided_at: Instant | None
    decided_by: int | str | None


class ExecutionDetail(ExecutionSummary):
    """A run with its prompt, output, tool calls and approvals."""

    input_prompt: str
    output_data: Any
    requests: int = Field(description="Answers of the model.")
    input_tokens: int
    output_tokens: int
    tools: list[ToolCallDetail]
    approvals: list[Approval]


class ExecutionPage(BaseModel):
    """The latest first. ``next_offset``: of the next page; null on the last one."""

    results: list[ExecutionSummary]
    next_offset: int | None


class StepReport(BaseModel):
    """One step; ``error`` is empty where it succeeded."""

    path: str
    agent: str
    output: Any
    error: str
    execution_id: UUID | None


class WorkflowRunResult(BaseModel):
    """The result of a workflow that completed. Steps of a parallel part that failed have an ``error``."""

    workflow_id: UUID
    url: str = Field(description="Its path.")
    status: RunStatus
    output: Any
    steps: list[StepReport]
    execution_time: float
    total_tokens: int
    total_cost: str | None


class WorkflowSummary(BaseModel):
    """A run of a workflow."""

    id: UUID
    url: str = Field(description="Its path.")
    workflow_name: str
    pattern: str
    agents: list[str]
    user_id: int | str | None
    status: RunStatus
    background: bool
    error: str
    progress: int = Field(description="Percent.")
    completed_steps: int
    total_steps: int
    total_tokens: int
    total_cost: str | None
    execution_time: float | None
    created_at: Instant
    completed_at: Instant | None


class WorkflowDetail(WorkflowSummary):
    """A run of a workflow, with the runs of its agents."""

    initial_prompt: str
    final_output: Any
    executions: list[ExecutionSummary]


class WorkflowPage(BaseModel):
    """The latest first. ``next_offset``: of the next page; null on the last one."""

    results: list[WorkflowSummary]
    next_offset: int | None


class ApprovalPage(BaseModel):
    """The latest first. ``next_offset``: of the next page; null on the last one."""

    results: list[Approval]
    next_offset: int | None


class DecisionResult(Approval):
    """An approval after the decision. ``continues``: nothing else waits, and a worker resumes the run.

    ``note``: what has to be done because no worker does; empty if there is nothing to do.
    """

    continues: bool
    note: str
