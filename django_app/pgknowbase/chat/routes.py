"""The routes of chats: the caller's sessions, their messages, and answers as a whole or as a stream."""

import logging
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

from asgiref.sync import sync_to_async
from django.db import IntegrityError
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from ninja import Query, Router
from ninja.responses import Status

from pgknowbase.api.authentication import get_caller
from pgknowbase.api.events import EVENTS, Event, event_stream
from pgknowbase.api.parameters import REPLAYED, IdempotencyKey, bound_key
from pgknowbase.api.problems import Problem, unauthenticated
from pgknowbase.chat import conversation, store
from pgknowbase.chat.conversation import Found, Text
from pgknowbase.chat.models import ChatMessage, ChatSession
from pgknowbase.chat.retrieval import resolved
from pgknowbase.chat.schemas import (
    ChatEntry,
    ChatFound,
    ChatMessagePage,
    ChatPageParameters,
    ChatQuestion,
    ChatSessionDetail,
    ChatSessionPage,
    ChatSessionSummary,
    ChatText,
    ChatUsage,
    CitedPassage,
    NewChatSession,
    citation_of,
    passage_citations,
)
from pgknowbase.conf import get_settings
from pgknowbase.errors import (
    AgentError,
    BudgetExceededError,
    ChatError,
    ConfigurationError,
    EmbeddingError,
    NoModelError,
    RunTimeoutError,
    SearchError,
    SpaceMismatchError,
)

CONTEXT_CHARACTERS = 400  # before and after a cited passage
STREAMED = {
    "responses": {200: {"description": "Events: what was found, the text in pieces, the message; or a problem."}},
    EVENTS: {"found": ChatFound, "text": ChatText, "answered": ChatEntry},
}

logger = logging.getLogger("pgknowbase.chat")
router = Router(tags=["chat"])


@router.get("sessions/", response=ChatSessionPage, operation_id="chatSessions")
def chat_sessions(request: HttpRequest, asked: Query[ChatPageParameters]) -> ChatSessionPage:
    """The caller's chats."""
    rows, following = _page(_sessions(request), asked)
    return ChatSessionPage(results=[ChatSessionSummary.of(row) for row in rows], next_offset=following)


@router.post("sessions/", response={201: ChatSessionSummary}, operation_id="startChat")
def start_chat(request: HttpRequest, asked: NewChatSession) -> Status[ChatSessionSummary]:
    """Start a chat."""
    user = chat_user(request)
    with as_problems():
        return Status(201, ChatSessionSummary.of(store.start(user, title=asked.title)))


@router.get("sessions/{session_id}/", response=ChatSessionDetail, operation_id="chatSession")
def chat_session(request: HttpRequest, session_id: UUID) -> ChatSessionDetail:
    """One of the caller's chats, with the tokens and cost of its answers."""
    session = own_session(request, session_id)
    return ChatSessionDetail(session=ChatSessionSummary.of(session), usage=ChatUsage.of(session.usage))


@router.delete("sessions/{session_id}/", response={204: None}, operation_id="deleteChat")
def delete_chat(request: HttpRequest, session_id: UUID) -> Status[None]:
    """Delete one of the caller's chats with its messages. The rows of its runs stay."""
    own_session(request, session_id).delete()
    return Status(204, None)


@router.get("sessions/{session_id}/messages/", response=ChatMessagePage, operation_id="chatMessages")
def chat_messages(request: HttpRequest, session_id: UUID, asked: Query[ChatPageParameters]) -> ChatMessagePage:
    """The messages of a chat, oldest first."""
    messages = own_session(request, session_id).messages.select_related("execution", "rewriting")
    rows, following = _page(messages, asked)
    return ChatMessagePage(results=[ChatEntry.of(row) for row in rows], next_offset=following)


@router.post("sessions/{session_id}/messages/", response=ChatEntry, operation_id="askChat")
def ask_chat(
    request: HttpRequest,
    session_id: UUID,
    asked: ChatQuestion,
    response: HttpResponse,
    idempotency_key: IdempotencyKey = None,
) -> ChatEntry:
    """Ask a question and wait for the whole answer. Heeds Idempotency-Key."""
    session = own_session(request, session_id)
    key = bound_key(request, idempotency_key)
    if key and (earlier := store.earlier_question(session, key)):
        response.headers[REPLAYED] = "true"
        return _replayed(earlier, asked.question)
    try:
        with as_problems():
            return ChatEntry.of(conversation.ask(session, asked.question, idempotency_key=key))
    except IntegrityError as error:
        raise _in_progress() from error


@router.post("sessions/{session_id}/messages/stream/", operation_id="streamChat", openapi_extra=STREAMED)
def stream_chat(request: HttpRequest, session_id: UUID, asked: ChatQuestion) -> StreamingHttpResponse:
    """Ask a question and read the answer while it is written, as server-sent events."""
    session = own_session(request, session_id)
    with as_problems():
        store.check_question(asked.question)
    return event_stream(request, _events(session, asked.question))


@router.get(
    "sessions/{session_id}/messages/{message_id}/citations/{number}/",
    response=CitedPassage,
    operation_id="chatCitation",
)
def chat_citation(request: HttpRequest, session_id: UUID, message_id: int, number: int) -> CitedPassage:
    """The passage that a marker names, in the current text of its object, if the caller may see it."""
    session = own_session(request, session_id)
    message = session.messages.filter(pk=message_id).first()
    stored = next((each for each in message.citations if each["number"] == number), None) if message else None
    if stored is None:
        raise Problem(404, "not-found", "The message has no such citation: pass a number that its text cites.")
    texts = resolved(stored, session.user, around=CONTEXT_CHARACTERS)
    if texts is None:
        raise Problem(404, "not-found", "The object is gone, has changed, or is not for you: ask again.")
    before, text, after = texts
    return CitedPassage(citation=citation_of(stored), before=before, text=text, after=after)


def _replayed(question: ChatMessage, text: str) -> ChatEntry:
    if question.content != text.strip():
        raise Problem(422, "idempotency-key", "The key was used for another question: send a new one.")
    if (answer := getattr(question, "answer", None)) is None:
        raise _in_progress()
    return ChatEntry.of(answer)


def _in_progress() -> Problem:
    detail = "The question with this key is being answered: wait, and ask again with the same key."
    return Problem(409, "in-progress", detail, headers={"Retry-After": "1"})


async def _events(session: ChatSession, question: str) -> AsyncGenerator[Event]:
    parts = conversation.stream(session, question)
    try:
        with as_problems():
            async for part in parts:
                if isinstance(part, Found):
                    yield Event("found", ChatFound(query=part.query, passages=passage_citations(part.passages)))
                elif isinstance(part, Text):
                    yield Event("text", ChatText(text=part.text))
                else:
                    yield Event("answered", await _described(part.message))
    finally:
        await parts.aclose()


async def _described(message: ChatMessage) -> ChatEntry:
    return await sync_to_async(ChatEntry.of)(message)


def chat_user(request: HttpRequest) -> Any:
    caller = get_caller(request)
    caller.require("chat")
    if caller.user is None:
        raise unauthenticated("A chat belongs to a user: send a token or sign in.")
    return caller.user


def _sessions(request: HttpRequest) -> QuerySet[ChatSession]:
    return ChatSession.objects.using(get_settings().database).filter(user=chat_user(request))


def own_session(request: HttpRequest, session_id: UUID) -> ChatSession:
    """A chat of the caller. That of another user is answered like one that does not exist: ids tell nothing."""
    session = _sessions(request).filter(pk=session_id).select_related("user").first()
    if session is None:
        raise Problem(404, "not-found", "The chat does not exist: start one.")
    return session


def _page(rows: QuerySet[Any], asked: ChatPageParameters) -> tuple[list[Any], int | None]:
    end = asked.offset + asked.limit
    found = list(rows[asked.offset : end + 1])
    return found[: asked.limit], end if len(found) > asked.limit else None


# Errors as problems of the API


@contextmanager
def as_problems() -> Iterator[None]:
    """Turn errors inside into problems of the API.

    The message of a provider or of the configuration goes only to the log and to the row of the run: the caller cannot
    act on it, and it may tell what the server is made of.

    Raises:
        Problem: instead of the error.
    """
    try:
        yield
    except (ChatError, SearchError) as error:
        raise Problem(422, "chat", str(error)) from error
    except BudgetExceededError as error:
        raise Problem(429, "budget", str(error)) from error
    except RunTimeoutError as error:
        raise _unanswered(504, "The language model took too long: ask again.", error) from error
    except (NoModelError, ConfigurationError, SpaceMismatchError) as error:
        raise _unanswered(503, "The chat is not configured correctly: tell an administrator.", error) from error
    except AgentError as error:
        raise _unanswered(502, "The language model did not answer: ask again.", error) from error
    except EmbeddingError as error:
        raise _unanswered(503, "The search does not work at the moment: try again later.", error) from error


def _unanswered(status: int, detail: str, error: Exception) -> Problem:
    logger.error("A chat got no answer: %s", error)
    return Problem(status, "no-answer", detail)
