"""The routes: a chat and an agent in each protocol, and the messages of a chat to begin with. ``answers`` does it."""

from typing import Any, Literal, TypeAlias
from uuid import UUID

from django.http import HttpRequest, StreamingHttpResponse
from ninja import Query, Router

from pgknowbase.api.events import MEDIA_TYPE
from pgknowbase.core.importing import importing
from pgknowbase.ui.schemas import MessagesForAGUI, MessagesForVercelAI, VercelAIParameters

STREAMED = {
    "requestBody": {"required": True, "content": {"application/json": {"schema": {"type": "object"}}}},
    "responses": {
        200: {"description": "The events of the protocol.", "content": {MEDIA_TYPE: {"schema": {"type": "string"}}}}
    },
}

Name: TypeAlias = Literal["vercel-ai", "ag-ui"]

router = Router(tags=["ui"])


@router.post("chats/{session_id}/vercel-ai/", operation_id="chatByVercelAI", openapi_extra=STREAMED)
def chat_by_vercel_ai(
    request: HttpRequest, session_id: UUID, asked: Query[VercelAIParameters]
) -> StreamingHttpResponse:
    """Ask a chat, for `useChat` of the Vercel AI SDK. The chat has its history: the last message counts."""
    return _chat(request, session_id, "vercel-ai", asked.version)


@router.post("chats/{session_id}/ag-ui/", operation_id="chatByAGUI", openapi_extra=STREAMED)
def chat_by_ag_ui(request: HttpRequest, session_id: UUID) -> StreamingHttpResponse:
    """Ask a chat, for clients of AG-UI. The chat has its history: the last message counts."""
    return _chat(request, session_id, "ag-ui")


@router.get("chats/{session_id}/vercel-ai/", response=MessagesForVercelAI, operation_id="chatHistoryForVercelAI")
def chat_history_for_vercel_ai(request: HttpRequest, session_id: UUID) -> MessagesForVercelAI:
    """The messages of a chat, for `useChat` to begin with; its latest if there are many."""
    return MessagesForVercelAI(messages=_history(request, session_id, "vercel-ai"))


@router.get("chats/{session_id}/ag-ui/", response=MessagesForAGUI, operation_id="chatHistoryForAGUI")
def chat_history_for_ag_ui(request: HttpRequest, session_id: UUID) -> MessagesForAGUI:
    """The messages of a chat, as the `initialMessages` of a client of AG-UI; its latest if there are many."""
    return MessagesForAGUI(messages=_history(request, session_id, "ag-ui"))


@router.post("agents/{agent_name}/vercel-ai/", operation_id="agentByVercelAI", openapi_extra=STREAMED)
def agent_by_vercel_ai(
    request: HttpRequest, agent_name: str, asked: Query[VercelAIParameters]
) -> StreamingHttpResponse:
    """Run an agent, for `useChat` of the Vercel AI SDK; or decide on its calls of tools and resume it."""
    return _agent(request, agent_name, "vercel-ai", asked.version)


@router.post("agents/{agent_name}/ag-ui/", operation_id="agentByAGUI", openapi_extra=STREAMED)
def agent_by_ag_ui(request: HttpRequest, agent_name: str) -> StreamingHttpResponse:
    """Run an agent, for clients of AG-UI; or resume it with decisions on its calls of tools."""
    return _agent(request, agent_name, "ag-ui")


# The protocols and pydantic-ai take longer to import than Django: the first request does it, and not the start of each
# process.


def _chat(request: HttpRequest, session_id: UUID, name: Name, version: int = 6) -> StreamingHttpResponse:
    with importing:
        from pgknowbase.ui import answers
    return answers.ask_chat(request, session_id, answers.protocol(name, version))


def _history(request: HttpRequest, session_id: UUID, name: Name) -> list[Any]:
    with importing:
        from pgknowbase.ui import answers
    return answers.chat_history(request, session_id, answers.protocol(name))


def _agent(request: HttpRequest, agent_name: str, name: Name, version: int = 6) -> StreamingHttpResponse:
    with importing:
        from pgknowbase.ui import answers
    return answers.ask_agent(request, agent_name, answers.protocol(name, version))
