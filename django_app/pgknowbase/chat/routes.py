"""The routes of chats: a user's own sessions, their messages, and answers, at once or as a stream."""

from collections.abc import AsyncGenerator
from typing import Any
from uuid import UUID

from asgiref.sync import sync_to_async
from django.db.models import QuerySet
from django.http import HttpRequest, StreamingHttpResponse
from ninja import Query, Router
from ninja.responses import Status

from pgknowbase.api.callers import caller_of
from pgknowbase.api.events import CONTENT, Event, event_stream
from pgknowbase.api.idempotency import idempotent
from pgknowbase.api.problems import Problem, unauthenticated
from pgknowbase.chat import conversation, record
from pgknowbase.chat.models import ChatMessage, ChatSession
from pgknowbase.chat.parts import Found, Text
from pgknowbase.chat.refusals import refusals
from pgknowbase.chat.retrieval import resolved
from pgknowbase.chat.schemas import (
    ChatEntry,
    ChatMessagePage,
    ChatPageParameters,
    ChatQuestion,
    ChatSessionDetail,
    ChatSessionPage,
    ChatSessionSummary,
    ChatUsage,
    CitedPassage,
    NewChatSession,
    citation_of,
    offered,
)
from pgknowbase.conf import get_settings

AROUND = 400
STREAMED = {
    "responses": {
        200: {
            "description": "Events: found (query, passages), text (text), answered (the message); or problem.",
            "content": CONTENT,
        }
    }
}

router = Router(tags=["chat"])


@router.get("sessions/", response=ChatSessionPage, operation_id="chatSessions")
def chat_sessions(request: HttpRequest, asked: Query[ChatPageParameters]) -> ChatSessionPage:
    """The caller's chats."""
    rows, following = _page(_sessions(request), asked)
    return ChatSessionPage(results=[ChatSessionSummary.of(row) for row in rows], next_offset=following)


@router.post("sessions/", response={201: ChatSessionSummary}, operation_id="startChat")
@idempotent
def start_chat(request: HttpRequest, asked: NewChatSession) -> Status[ChatSessionSummary]:
    """Begin a chat. Heeds Idempotency-Key."""
    user = _user(request)
    with refusals():
        return Status(201, ChatSessionSummary.of(record.start(user, title=asked.title)))


@router.get("sessions/{session_id}/", response=ChatSessionDetail, operation_id="chatSession")
def chat_session(request: HttpRequest, session_id: UUID) -> ChatSessionDetail:
    """One of the caller's chats, and what its answers came to."""
    session = _session(request, session_id)
    return ChatSessionDetail(session=ChatSessionSummary.of(session), usage=ChatUsage.of(session.usage))


@router.delete("sessions/{session_id}/", response={204: None}, operation_id="deleteChat")
def delete_chat(request: HttpRequest, session_id: UUID) -> Status[None]:
    """Delete one of the caller's chats with its messages. The rows of its runs stay."""
    _session(request, session_id).delete()
    return Status(204, None)


@router.get("sessions/{session_id}/messages/", response=ChatMessagePage, operation_id="chatMessages")
def chat_messages(request: HttpRequest, session_id: UUID, asked: Query[ChatPageParameters]) -> ChatMessagePage:
    """The messages of a chat, the first one first."""
    messages = _session(request, session_id).messages.select_related("execution", "rewriting")
    rows, following = _page(messages, asked)
    return ChatMessagePage(results=[ChatEntry.of(row) for row in rows], next_offset=following)


@router.post("sessions/{session_id}/messages/", response=ChatEntry, operation_id="askChat")
@idempotent
def ask_chat(request: HttpRequest, session_id: UUID, asked: ChatQuestion) -> ChatEntry:
    """Ask a question and wait for the whole answer. Heeds Idempotency-Key."""
    session = _session(request, session_id)
    with refusals():
        return ChatEntry.of(conversation.ask(session, asked.question))


@router.post("sessions/{session_id}/messages/stream/", operation_id="streamChat", openapi_extra=STREAMED)
def stream_chat(request: HttpRequest, session_id: UUID, asked: ChatQuestion) -> StreamingHttpResponse:
    """Ask a question and read the answer while it is made, as server-sent events."""
    session = _session(request, session_id)
    with refusals():
        record.checked(asked.question)
    return event_stream(request, _events(session, asked.question))


@router.get(
    "sessions/{session_id}/messages/{message_id}/citations/{number}/",
    response=CitedPassage,
    operation_id="chatCitation",
)
def chat_citation(request: HttpRequest, session_id: UUID, message_id: int, number: int) -> CitedPassage:
    """What a marker names, in the text of its object as it is now and as far as the caller may see it."""
    session = _session(request, session_id)
    message = session.messages.filter(pk=message_id).first()
    stored = next((each for each in message.citations if each["number"] == number), None) if message else None
    if stored is None:
        raise Problem(404, "not-found", "There is no such citation: pass a number that an answer cites.")
    texts = resolved(stored, session.user, around=AROUND)
    if texts is None:
        raise Problem(404, "not-found", "The object is gone, has changed, or is not for you: ask again.")
    before, text, after = texts
    return CitedPassage(citation=citation_of(stored), before=before, text=text, after=after)


async def _events(session: ChatSession, question: str) -> AsyncGenerator[Event]:
    parts = conversation.stream(session, question)
    try:
        with refusals():
            async for part in parts:
                if isinstance(part, Found):
                    yield Event("found", {"query": part.query, "passages": offered(part.passages)})
                elif isinstance(part, Text):
                    yield Event("text", {"text": part.text})
                else:
                    yield Event("answered", await _described(part.message))
    finally:
        await parts.aclose()


async def _described(message: ChatMessage) -> ChatEntry:
    return await sync_to_async(ChatEntry.of)(message)


def _user(request: HttpRequest) -> Any:
    caller = caller_of(request)
    caller.require("chat")
    if caller.user is None:
        raise unauthenticated("A chat belongs to a user: send a token or sign in.")
    return caller.user


def _sessions(request: HttpRequest) -> QuerySet[ChatSession]:
    return ChatSession.objects.using(get_settings().database).filter(user=_user(request))


def _session(request: HttpRequest, session_id: UUID) -> ChatSession:
    """A chat of the caller's; that of somebody else is as one that is not there."""
    session = _sessions(request).filter(pk=session_id).select_related("user").first()
    if session is None:
        raise Problem(404, "not-found", "There is no such chat: begin one.")
    return session


def _page(rows: QuerySet[Any], asked: ChatPageParameters) -> tuple[list[Any], int | None]:
    end = asked.offset + asked.limit
    found = list(rows[asked.offset : end + 1])
    return found[: asked.limit], end if len(found) > asked.limit else None
