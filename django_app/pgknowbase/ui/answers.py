"""The answers to the routes: a request is read, the chat or an agent asked, and the answer streamed in the protocol."""

from functools import partial
from typing import Any, Literal
from uuid import UUID

from asgiref.sync import sync_to_async
from django.http import HttpRequest, StreamingHttpResponse

from pgknowbase.agents.approvals import PERMISSION
from pgknowbase.agents.deps import DjangoDeps
from pgknowbase.agents.models import AgentExecution, ApprovalRequest
from pgknowbase.agents.models import Status as Run
from pgknowbase.agents.runs.approval_requests import record_decision
from pgknowbase.agents.runs.database import alias
from pgknowbase.api.authentication import get_caller
from pgknowbase.api.events import event_stream
from pgknowbase.api.links import site_of
from pgknowbase.api.orchestrator.access import check_budgets, deps_for
from pgknowbase.api.orchestrator.agents import usable_agent
from pgknowbase.api.orchestrator.schemas import LONGEST_PROMPT
from pgknowbase.api.problems import Problem
from pgknowbase.chat import store
from pgknowbase.chat.models import ChatMessage
from pgknowbase.chat.prompt import as_messages
from pgknowbase.chat.routes import as_problems, chat_user, own_session
from pgknowbase.ui.events import Encoded, agent_events, chat_events, sources_of, written
from pgknowbase.ui.protocols import AGUI, Asked, FrontEnd, VercelAI

APPROVALS_SCOPE = "approvals"


def protocol(name: Literal["vercel-ai", "ag-ui"], version: int = 6) -> FrontEnd:
    """The protocol of that name; ``version`` is the major one of the Vercel AI SDK."""
    return AGUI() if name == "ag-ui" else VercelAI(version)


# The chat

MOST_MESSAGES = 200


def ask_chat(request: HttpRequest, session_id: UUID, front_end: FrontEnd) -> StreamingHttpResponse:
    """Ask a chat."""
    chat_user(request)
    asked, site = _read(request, front_end), site_of(request)
    session = own_session(request, session_id)
    with as_problems():
        store.check_question(asked.prompt)
    return _stream(request, front_end, asked, chat_events(session, asked.prompt, front_end, site))


def chat_history(request: HttpRequest, session_id: UUID, front_end: FrontEnd) -> list[Any]:
    """The messages of a chat, its latest if there are many."""
    session = own_session(request, session_id)
    rows = list(ChatMessage.objects.using(alias()).filter(session=session).order_by("-pk")[:MOST_MESSAGES])
    site = site_of(request)
    return front_end.history((row, sources_of(row, session.user, site)) for row in reversed(rows))


# Agents


def ask_agent(request: HttpRequest, agent_name: str, front_end: FrontEnd) -> StreamingHttpResponse:
    """Run an agent, or decide on its calls of tools and resume it."""
    user, deps = deps_for(request, None)
    agent: Any = usable_agent(agent_name, user)
    asked = _read(request, front_end)
    if asked.decisions:
        get_caller(request).require(APPROVALS_SCOPE, PERMISSION)
        waiting = _waiting(agent, user, asked)
        run: Any = partial(_decide_and_resume, agent, waiting, user, asked, deps)
    elif not asked.prompt:
        raise Problem(422, "validation", "The last message is not the user's, and no call of a tool is decided: ask.")
    elif len(asked.prompt) > LONGEST_PROMPT:
        raise Problem(422, "validation", f"The message has more than {LONGEST_PROMPT} characters: shorten it.")
    else:
        check_budgets(agent.name, user.pk)
        history = as_messages(asked.turns) or None
        run = partial(agent.run, asked.prompt, deps=deps, message_history=history)
    return _stream(request, front_end, asked, agent_events(run))


def _waiting(agent: Any, user: Any, asked: Asked) -> list[ApprovalRequest]:
    """The open requests of the user's latest run that the request decides on.

    Raises:
        Problem: 409, there is none.
    """
    runs = AgentExecution.objects.using(alias()).filter(agent_name=agent.name, user_id=user.pk, status=Run.PENDING)
    named = ApprovalRequest.objects.using(alias()).filter(
        execution__in=runs, tool_call_id__in=asked.decisions, status=ApprovalRequest.Status.PENDING
    )
    latest = named.order_by("-pk").first()
    if latest is None:
        raise Problem(409, "decided", "No call of your runs of this agent waits for these decisions: ask again.")
    return list(named.filter(execution_id=latest.execution_id))


async def _decide_and_resume(
    agent: Any, waiting: list[ApprovalRequest], user: Any, asked: Asked, deps: DjangoDeps, *, on_event: Any
) -> None:
    is_last = False
    for row in waiting:
        decision = asked.decisions[row.tool_call_id]
        reason = decision if isinstance(decision, str) else ""
        is_last = await sync_to_async(record_decision)(row.pk, approve=decision is True, by=user, reason=reason)
    if not is_last:
        raise Problem(409, "at-work", "Other calls of this run wait for a decision: decide on them too.")
    if await agent.resume(waiting[0].execution_id, deps=deps, on_event=on_event) is None:
        raise Problem(409, "at-work", "A worker has taken the run up already: look it up in the list of runs.")


# Both


def _read(request: HttpRequest, front_end: FrontEnd) -> Asked:
    return front_end.read(request.body, request.headers.get("Accept"))


def _stream(request: HttpRequest, front_end: FrontEnd, asked: Asked, native: Any) -> StreamingHttpResponse:
    def failure(problem: Problem) -> Encoded:
        return Encoded(asked.stream.encode_event(front_end.error(problem.detail)))

    response = event_stream(request, written(asked.stream, native), failure=failure)
    for name, value in (asked.stream.response_headers or {}).items():
        response.headers[name] = value
    return response
