"""Sessions and messages in the database. Every function here is sync."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from asgiref.sync import sync_to_async
from django.db import transaction
from django.utils import timezone

from pgknowbase.chat.citations import without_markers
from pgknowbase.chat.models import ChatMessage, ChatSession
from pgknowbase.chat.prompt import count_fitting
from pgknowbase.conf import get_settings
from pgknowbase.core.text import is_storable, short_repr, to_storable
from pgknowbase.errors import ChatError

# About two pages: what is longer is a document, not a question, and would crowd the passages out of the context.
MAX_QUESTION_CHARACTERS = 4000
# No history of more turns fits the token budget, so no more are read.
MAX_TURNS = 50
TITLE_CHARACTERS = 80
# A question without an answer after this time never gets one: its process has died.
ANSWERED_WITHIN = timedelta(minutes=15)
ANSWERED_MODES = (ChatMessage.Mode.MODEL, ChatMessage.Mode.EXTRACTIVE, ChatMessage.Mode.UNKNOWN)


@dataclass(frozen=True, kw_only=True)
class Turn:
    """A question and its answer; ``search_query`` is what was searched for."""

    question: str
    answer: str
    search_query: str

    @property
    def searched(self) -> str:
        """The text that was searched for: the question itself, unless it was rewritten."""
        return self.search_query or self.question


def start(user: Any, *, title: str = "") -> ChatSession:
    """Start a conversation of ``user``; without a title it gets that of its first question.

    Raises:
        ChatError: the user is not signed in, or the title cannot be stored.
    """
    if user is None or not getattr(user, "is_authenticated", False):
        raise ChatError("A chat belongs to a user: sign in first.")
    if not is_storable(title) or len(title) > 200:
        raise ChatError(
            f"The title {short_repr(title)} cannot be stored: pass at most 200 characters, none of them NUL."
        )
    return ChatSession.objects.using(get_settings().database).create(user=user, title=title)


async def astart(user: Any, *, title: str = "") -> ChatSession:
    """Async twin of ``start``."""
    return await sync_to_async(start)(user, title=title)


def check_question(question: str) -> str:
    """The question, stripped, if it can be answered.

    Raises:
        ChatError: it is empty, too long, or cannot be stored.
    """
    if not isinstance(question, str) or not question.strip():
        raise ChatError(f"The question {short_repr(question)} is empty: ask something.")
    if len(question) > MAX_QUESTION_CHARACTERS:
        raise ChatError(f"The question has {len(question)} characters: ask with at most {MAX_QUESTION_CHARACTERS}.")
    if not is_storable(question):
        raise ChatError(f"The question {short_repr(question)} holds a NUL or a lone surrogate: remove it.")
    return question.strip()


def store_question(session: ChatSession, question: str, *, idempotency_key: str = "") -> ChatMessage:
    """Store a question. The first one gives its session a title.

    Raises:
        IntegrityError: the session has a question with that key already, see ``earlier_question``.
    """
    using = get_settings().database
    with transaction.atomic(using):
        if idempotency_key:
            lost = session.messages.filter(idempotency_key=idempotency_key, created_at__lt=_lost_before(), answer=None)
            lost.update(idempotency_key="")
        asked = ChatMessage.objects.using(using).create(
            session=session, role=ChatMessage.Role.USER, content=question, idempotency_key=idempotency_key
        )
        _touch(session, using, title=session.title or " ".join(question.split())[:TITLE_CHARACTERS])
    return asked


def earlier_question(session: ChatSession, idempotency_key: str) -> ChatMessage | None:
    """The question that was asked with that key, if it has an answer or may still get one."""
    asked = session.messages.filter(idempotency_key=idempotency_key).exclude(created_at__lt=_lost_before(), answer=None)
    return asked.select_related("answer__execution", "answer__rewriting").first()


def store_answer(
    asked: ChatMessage | None,
    *,
    mode: str,
    text: str,
    search_query: str = "",
    citations: Sequence[dict[str, Any]] = (),
    dropped: Sequence[str] = (),
    execution_id: UUID | None = None,
    rewriting_id: UUID | None = None,
) -> ChatMessage:
    """Store the answer to a question. A failed one frees the question's idempotency key for a retry.

    Where no question was stored, the answer is returned and not stored either.
    """
    using = get_settings().database
    made = ChatMessage(
        role=ChatMessage.Role.ASSISTANT,
        mode=mode,
        content=to_storable(text),
        search_query=search_query,
        citations=list(citations),
        dropped=list(dropped),
        execution_id=execution_id,
        rewriting_id=rewriting_id,
    )
    if asked is None:
        made._state.db = using
        return made
    made.session, made.reply_to = asked.session, asked
    with transaction.atomic(using):
        if mode == ChatMessage.Mode.FAILED and asked.idempotency_key:
            asked.idempotency_key = ""
            asked.save(using=using, update_fields=["idempotency_key"])
        made.save(using=using, force_insert=True)
        _touch(asked.session, using)
    return made


def recent_turns(session: ChatSession, *, before: ChatMessage) -> list[Turn]:
    """The latest questions that were answered, oldest first, as many as ``CHAT["HISTORY_TOKENS"]`` allows."""
    answers = (
        session.messages.filter(role=ChatMessage.Role.ASSISTANT, pk__lt=before.pk, mode__in=ANSWERED_MODES)
        .select_related("reply_to")
        .order_by("-pk")[:MAX_TURNS]
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
    return latest_turns(latest[::-1])


def latest_turns(turns: Sequence[Turn]) -> list[Turn]:
    """The latest of ``turns``, which are oldest first, as many as ``CHAT["HISTORY_TOKENS"]`` allows."""
    latest = turns[-MAX_TURNS:][::-1]
    count = count_fitting((f"{turn.question}{turn.answer}" for turn in latest), get_settings().chat.history_tokens)
    return list(latest[:count][::-1])


def _lost_before() -> datetime:
    """The time before which a question without an answer was lost."""
    return timezone.now() - ANSWERED_WITHIN


def _touch(session: ChatSession, using: str, **changes: str) -> None:
    session.updated_at = timezone.now()
    for name, value in changes.items():
        setattr(session, name, value)
    session.save(using=using, update_fields=["updated_at", *changes])
