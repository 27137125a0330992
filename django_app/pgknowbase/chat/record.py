"""Sessions and messages in the database. Sync."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from asgiref.sync import sync_to_async
from django.db import transaction
from django.utils import timezone

from pgknowbase.chat.citations import without_markers
from pgknowbase.chat.models import ChatMessage, ChatSession
from pgknowbase.chat.tokens import fitting
from pgknowbase.conf import get_settings
from pgknowbase.errors import ChatError
from pgknowbase.search.metadata import shown, storable

# Of a conversation no more is read than could ever be told.
MOST_TURNS = 50
TITLE = 80
KNOWING = (ChatMessage.Mode.MODEL, ChatMessage.Mode.EXTRACTIVE, ChatMessage.Mode.UNKNOWN)


@dataclass(frozen=True, kw_only=True)
class Turn:
    """A question and its answer. ``search_query``: what was searched for."""

    question: str
    answer: str
    search_query: str


def start(user: Any, *, title: str = "") -> ChatSession:
    """Begin a conversation of a user.

    Raises:
        ChatError: nobody is signed in, or the title cannot be stored.
    """
    if user is None or not getattr(user, "is_authenticated", False):
        raise ChatError("A chat belongs to a user: sign in first.")
    if not storable(title) or len(title) > 200:
        raise ChatError(f"The title {shown(title)} cannot be stored: pass at most 200 characters, none of them NUL.")
    return ChatSession.objects.using(get_settings().database).create(user=user, title=title)


async def astart(user: Any, *, title: str = "") -> ChatSession:
    """Async twin of ``start``."""
    return await sync_to_async(start)(user, title=title)


def checked(question: str) -> str:
    """A question that can be answered.

    Raises:
        ChatError: it is empty, too long, or cannot be stored.
    """
    longest = get_settings().chat.max_question_characters
    if not isinstance(question, str) or not question.strip():
        raise ChatError(f"The question {shown(question)} is empty: ask something.")
    if len(question) > longest:
        raise ChatError(f"The question has {len(question)} characters: ask with at most {longest}.")
    if not storable(question):
        raise ChatError(f"The question {shown(question)} holds a NUL or a lone surrogate: remove it.")
    return question.strip()


def ask(session: ChatSession, question: str) -> ChatMessage:
    """Store a question; the first one gives its session a title."""
    using = get_settings().database
    with transaction.atomic(using):
        asked = ChatMessage.objects.using(using).create(session=session, role=ChatMessage.Role.USER, content=question)
        _touch(session, using, title=session.title or " ".join(question.split())[:TITLE])
    return asked


def answer(
    asked: ChatMessage,
    *,
    mode: str,
    text: str,
    search_query: str = "",
    citations: Sequence[dict[str, Any]] = (),
    dropped: Sequence[str] = (),
    execution_id: UUID | None = None,
    rewriting_id: UUID | None = None,
) -> ChatMessage:
    """Store the answer to a question."""
    using = get_settings().database
    with transaction.atomic(using):
        made = ChatMessage.objects.using(using).create(
            session=asked.session,
            role=ChatMessage.Role.ASSISTANT,
            reply_to=asked,
            mode=mode,
            content=text.replace("\0", ""),
            search_query=search_query,
            citations=list(citations),
            dropped=list(dropped),
            execution_id=execution_id,
            rewriting_id=rewriting_id,
        )
        _touch(asked.session, using)
    return made


def turns(session: ChatSession, *, before: ChatMessage) -> list[Turn]:
    """The last questions that got an answer, oldest first, as many as HISTORY_TOKENS allows."""
    answers = (
        session.messages.filter(role=ChatMessage.Role.ASSISTANT, pk__lt=before.pk, mode__in=KNOWING)
        .select_related("reply_to")
        .order_by("-pk")[:MOST_TURNS]
    )
    latest = [
        Turn(
            question=made.reply_to.content,
            answer=without_markers(made.content),
            search_query=made.search_query,
        )
        for made in answers
        if made.reply_to is not None
    ]
    count = fitting((f"{turn.question}{turn.answer}" for turn in latest), get_settings().chat.history_tokens)
    return latest[:count][::-1]


def _touch(session: ChatSession, using: str, **changes: str) -> None:
    session.updated_at = timezone.now()
    for name, value in changes.items():
        setattr(session, name, value)
    session.save(using=using, update_fields=["updated_at", *changes])
