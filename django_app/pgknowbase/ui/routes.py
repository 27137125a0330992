"""The routes: a chat and an agent in each protocol, and the messages of a chat to begin with."""

from functools import partial
from typing import Any
from uuid import UUID

from asgiref.sync import sync_to_async
from django.http import HttpRequest, StreamingHttpResponse
from ninja import Query, Router

from pgknowbase.agents.approvals import PERMISSION
from pgknowbase.agents.deps import DjangoDeps
from pgknowbase.agents.models import AgentExecution, ApprovalRequest
from pgknowbase.agents.models import Status as Run
from pgknowbase.agents.runs.approval_requests import record_decision
from pgknowbase.agents.runs.database import alias
from pgknowbase.api.authentication import get_caller
from pgknowbase.api.events import MEDIA_TYPE, event_stream
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
from pgknowbase.ui.schemas import MessagesForAGUI, MessagesForVercelAI, VercelAIParameters

APPROVALS_SCOPE = "approvals"
STREAMED = {
    "requestBody": {"required": True, "content": {"application/json": {"schema": {"type": "object"}}}},
    "responses": {
        200: {"description": "The events of the protocol.", "content": {MEDIA_TYPE: {"schema": {"type": "string"}}}}
    },
}

router = Router(tags=["ui"])


@router.post("chats/{session_id}/vercel-ai/", operation_id="chatByVercelAI", openapi_extra=STREAMED)
def chat_by_vercel_ai(
    request: HttpRequest, session_id: UUID, asked: Query[VercelAIParameters]
) -> StreamingHttpResponse:
    """Ask a chat, for `useChat` of the Vercel AI SDK. The chat has its history: the last message counts."""
    return _chat(request, session_id, VercelAI(asked.version))


@router.post("chats/{session_id}/ag-ui/", operation_id="chatByAGUI", openapi_extra=STREAMED)
def chat_by_ag_ui(request: HttpRequest, session_id: UUID) -> StreamingHttpResponse:
    """Ask a chat, for clients of AG-UI. The chat has its history: the last message counts."""
    return _chat(request, session_id, AGUI())


@router.get("chats/{session_id}/vercel-ai/", response=MessagesForVercelAI, operation_id="chatHistoryForVercelAI")
def chat_history_for_vercel_ai(request: HttpRequest, session_id: UUID) -> MessagesForVercelAI:
    """The messages of a chat, for `useChat` to begin with; its latest if there are many."""
    return MessagesForVercelAI(messages=_history(request, session_id, VercelAI()))


@router.get("chats/{session_id}/ag-ui/", response=MessagesForAGUI, operation_id="chatHistoryForAGUI")
def chat_history_for_ag_ui(request: HttpRequest, session_id: UUID) -> MessagesForAGUI:
    """The messages of a chat, as the `initialMessages` of a client of AG-UI; its latest if there are many."""
    return MessagesForAGUI(messages=_history(request, session_id, AGUI()))


@router.post("agents/{agent_name}/vercel-ai/", operation_id="agentByVercelAI", openapi_extra=STREAMED)
def agent_by_vercel_ai(
    request: HttpRequest, agent_name: str, asked: Query[VercelAIParameters]
) -> StreamingHttpResponse:
    """Run an agent, for `useChat` of the Vercel AI SDK; or decide on its calls of tools and resume it."""
    return _agent(request, agent_name, VercelAI(asked.version))


@router.post("agents/{agent_name}/ag-ui/", operation_id="agentByAGUI", openapi_extra=STREAMED)
def agent_by_ag_ui(request: HttpRequest, agent_name: str) -> StreamingHttpResponse:
    """Run an agent, for clients of AG-UI; or resume it with decisions on its calls of tools."""
    return _agent(request, agent_name, AGUI())


# The chat

MOST_MESSAGES = 200


def _chat(request: HttpRequest, session_id: UUID, front_end: FrontEnd) -> StreamingHttpResponse:
    chat_user(request)
    asked, site = _read(request, front_end), site_of(request)
    session = own_session(request, session_id)
    with as_problems():
        store.check_question(asked.prompt)
    return _stream(request, front_end, asked, chat_events(session, asked.prompt, front_end, site))


def _history(request: HttpRequest, session_id: UUID, front_end: FrontEnd) -> list[Any]:
    session = own_session(request, session_id)
    rows = list(ChatMessage.objects.using(alias()).filter(session=session).order_by("-pk")[:MOST_MESSAGES])
    site = site_of(request)
    return front_end.history((row, sources_of(row, session.user, site)) for row in reversed(rows))


# Agents


def _agent(request: HttpRequest, agent_name: str, front_end: FrontEnd) -> StreamingHttpResponse:
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
