"""Bodies and answers of the routes of agents."""

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, model_validator

from pgknowbase.api.parameters import Moment, Text

LONGEST_PROMPT = 100_000
LONGEST_RUN = 3600
MOST_AGENTS = 20
LARGEST = 2**63 - 1

RunStatus = Literal["PENDING", "RUNNING", "COMPLETED", "FAILED", "CANCELLED"]
Decision = Literal["PENDING", "APPROVED", "DENIED"]
Pattern = Literal["sequential", "parallel", "conditional"]


class Body(BaseModel):
    """A body: what it does not know is refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ActingFor(Body):
    """For whom the agent acts."""

    user_id: int | Text | None = Field(None, description="Somebody else; needs the permission to act for others.")


class RunRequest(Body):
    """One run: answered at its end, or streamed, or left to a worker."""

    prompt: Text = Field(min_length=1, max_length=LONGEST_PROMPT, examples=["Summarise the news of today"])
    deps: ActingFor | None = None
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
    """Several agents as one: a workflow defined in code, or a pattern with agents."""

    workflow: Text | None = Field(None, min_length=1, max_length=200, description="The name of one that is defined.")
    pattern: Pattern | None = Field(None, description="In 'conditional' the first agent chooses one of the others.")
    agents: list[Text] = Field([], max_length=MOST_AGENTS, examples=[["content_analyzer", "writer"]])
    prompt: Text = Field(min_length=1, max_length=LONGEST_PROMPT)
    name: Text = Field("", max_length=200, description="What to call it; default: its workflow or pattern.")
    deps: ActingFor | None = None
    timeout: float | None = Field(None, ge=1, le=LONGEST_RUN, description="Seconds of the whole.")
    concurrency: int | None = Field(None, ge=1, le=MOST_AGENTS, description="Of a parallel one: runs at once.")
    background: bool = Field(False, description="Leave it to a worker and answer 202.")

    @model_validator(mode="after")
    def _one_kind(self) -> "WorkflowRequest":
        if self.workflow is not None and (self.pattern is not None or self.agents):
            raise ValueError("a defined workflow has its agents: leave out pattern and agents")
        if self.workflow is None and (self.pattern is None or not self.agents):
            raise ValueError("name a workflow, or a pattern and its agents")
        return self


class DecisionRequest(Body):
    """What a person says of a tool call."""

    approve: bool
    reason: Text = Field("", max_length=2000, description="Of a refusal; the model is told.")


class Page(BaseModel):
    """Which part of a list."""

    limit: int = Field(20, ge=1, description="Results at most.")
    offset: int = Field(0, ge=0, le=1_000_000)


class ExecutionFilter(Page):
    """Which runs."""

    agent: Text | None = Field(None, max_length=200)
    status: RunStatus | None = None
    created_from: Moment | None = None
    created_before: Moment | None = None


class WorkflowFilter(Page):
    """Which workflows."""

    status: RunStatus | None = None
    created_from: Moment | None = None
    created_before: Moment | None = None


class ApprovalFilter(Page):
    """Which requests for approval."""

    status: Decision = "PENDING"


class AgentInfo(BaseModel):
    """An agent that the caller may run."""

    name: str
    description: str
    kept_in: Literal["code", "database"]
    model: str | None = Field(description="Null: none is configured, so it cannot run.")


class AgentList(BaseModel):
    """By name."""

    results: list[AgentInfo]


class WorkflowInfo(BaseModel):
    """A workflow that is defined in code and that the caller may run."""

    name: str
    description: str
    pattern: str = Field(description="Of its outermost part.")
    agents: list[str] = Field(description="Those that may run, in their order.")


class WorkflowList(BaseModel):
    """By name."""

    results: list[WorkflowInfo]


class RunResult(BaseModel):
    """What a run came to."""

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
    created_at: datetime
    started_at: datetime | None
    completed_at: datetime | None


class ToolCallDetail(BaseModel):
    """A call of a tool."""

    tool_name: str
    tool_call_id: str
    arguments: Any
    result: Any
    status: Literal["RUNNING", "COMPLETED", "FAILED", "REFUSED", "WAITING"]
    error: str
    execution_time: float | None
    started_at: datetime
    completed_at: datetime | None


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
    requested_at: datetime
    decided_at: datetime | None
    decided_by: int | str | None


class ExecutionDetail(ExecutionSummary):
    """A run with what it said and called."""

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


class WorkflowAnswer(BaseModel):
    """What a workflow came to. Steps that failed beside others that did not have an ``error``."""

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
    created_at: datetime
    completed_at: datetime | None


class WorkflowDetail(WorkflowSummary):
    """The same with its runs."""

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


class ApprovalAnswer(Approval):
    """What was decided. ``continues``: nothing else waits, and a worker goes on with the run.

    ``note``: what has to be done because no worker does; empty if there is nothing to do.
    """

    continues: bool
    note: str
