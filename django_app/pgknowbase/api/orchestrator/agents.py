"""Routes of agents: which there are, and running one."""

from typing import Any

from asgiref.sync import sync_to_async
from django.db import transaction
from django.http import HttpRequest
from ninja.responses import Status

from pgknowbase.agents.agent import DjangoAgent
from pgknowbase.agents.background import run_in_background
from pgknowbase.agents.deps import DjangoDeps
from pgknowbase.agents.models import AgentExecution
from pgknowbase.agents.recording.budgets import left, scopes
from pgknowbase.agents.recording.database import alias
from pgknowbase.agents.registry import agents_for, get_agent
from pgknowbase.api.events import CONTENT, event_stream
from pgknowbase.api.idempotency import HEADER, idempotent
from pgknowbase.api.orchestrator.answers import result_of, summary_of
from pgknowbase.api.orchestrator.base import deps_for, router, signed_in
from pgknowbase.api.orchestrator.shapes import AgentInfo, AgentList, ExecutionSummary, RunRequest, RunResult
from pgknowbase.api.orchestrator.streaming import streamed
from pgknowbase.api.problems import Problem
from pgknowbase.conf import get_settings
from pgknowbase.errors import ApprovalNeededError, NoModelError, UnknownAgentError
from pgknowbase.search.metadata import shown, storable

EVENTS = {
    "responses": {
        200: {
            "description": "The result; with `stream` the events `started`, `text` or `partial`, and at last `result`,"
            " `waiting` or `problem`.",
            "content": CONTENT,
        }
    }
}
Agent = DjangoAgent[Any, Any]


@router.get("ai-agents/", response=AgentList, operation_id="listAgents")
def list_agents(request: HttpRequest) -> AgentList:
    """The agents that the caller may run."""
    caller = signed_in(request)
    return AgentList(results=[_info(agent, place) for agent, place in agents_for(caller.user)])


@router.post(
    "ai-agents/{agent_name}/run/",
    response={200: RunResult, 202: ExecutionSummary},
    operation_id="runAgent",
    openapi_extra=EVENTS,
)
@idempotent
async def run_agent(request: HttpRequest, agent_name: str, asked: RunRequest) -> Any:
    """Run an agent as the caller. 202: it waits for a worker, or for a person's approval. Heeds Idempotency-Key."""
    if asked.stream and HEADER in request.headers:
        raise Problem(400, "idempotency-key", f"{HEADER} is not kept for streams: leave it out, or do not stream.")
    agent, deps = await sync_to_async(_chosen)(request, agent_name, asked)
    if asked.background:
        row = await sync_to_async(_queued)(agent, asked.prompt, deps)
        return Status(202, await sync_to_async(summary_of)(row))
    timeout = _timeout(agent, asked.timeout)
    if asked.stream:
        return event_stream(request, streamed(agent, asked.prompt, deps=deps, timeout=timeout))
    try:
        result = await agent.run(asked.prompt, deps=deps, timeout=timeout)
    except ApprovalNeededError as error:
        paused = await AgentExecution.objects.using(alias()).aget(pk=error.execution_id)
        return Status(202, summary_of(paused))
    return result_of(agent.name, result)


def usable_agent(name: str, user: Any) -> Agent:
    """The agent of that name, which ``user`` may run and which has a model.

    Raises:
        UnknownAgentError: there is none for this user.
        NoModelError: it could not run.
    """
    if not storable(name):
        raise UnknownAgentError(f"Agent {shown(name)} is unknown: see the list of agents.")
    agent = get_agent(name, user=user)
    agent.model_name()
    return agent


def check_budgets(agent_name: str, user_id: Any) -> None:
    """Refuse at once what a worker would refuse: budgets are asked again when the run begins.

    Raises:
        BudgetExceededError: nothing is left of one.
    """
    with transaction.atomic(alias()):
        left(alias(), scopes(alias(), agent_name, user_id))


def _chosen(request: HttpRequest, agent_name: str, asked: RunRequest) -> tuple[Agent, DjangoDeps]:
    user, deps = deps_for(request, asked.deps)
    return usable_agent(agent_name, user), deps


def _queued(agent: Agent, prompt: str, deps: DjangoDeps) -> AgentExecution:
    check_budgets(agent.name, deps.user_id)
    return run_in_background(agent.name, prompt, deps=deps)


def _timeout(agent: Agent, asked: float | None) -> float | None:
    """A caller may have less patience than the agent, not more."""
    return min(asked, agent.timeout or get_settings().agents.timeout) if asked else None


def _info(agent: Agent, place: Any) -> AgentInfo:
    try:
        model: str | None = agent.model_name()
    except NoModelError:
        model = None
    return AgentInfo(name=agent.name, description=agent.description, kept_in=place, model=model)
