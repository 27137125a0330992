"""Answering a question: rewrite a follow-up, search, select passages, answer, check citations, store."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, TypeAlias, TypeVar
from uuid import UUID

from asgiref.sync import async_to_sync, sync_to_async

from pgknowbase.chat import store
from pgknowbase.chat.citations import Citations
from pgknowbase.chat.llm import answering_agent, configured_model, rewrite_question
from pgknowbase.chat.models import ChatMessage, ChatSession
from pgknowbase.chat.prompt import UNKNOWN, as_messages, extractive_answer, fit_passages, question_with_passages
from pgknowbase.chat.retrieval import Passage, are_relevant, find_for_follow_up, find_passages
from pgknowbase.chat.store import Turn
from pgknowbase.conf import get_settings
from pgknowbase.errors import ChatError, RunError

EXTRACTIVE_PASSAGES = 3
Mode = ChatMessage.Mode
T = TypeVar("T")
END: Any = object()


@dataclass(frozen=True, slots=True)
class Found:
    """The first part of a stream: what was searched for, and the passages that the answer may cite, ``[1]`` first."""

    query: str
    passages: tuple[Passage, ...]


@dataclass(frozen=True, slots=True)
class Text:
    """The next piece of the answer's text."""

    text: str


@dataclass(frozen=True, slots=True)
class Answered:
    """The last part of a stream: the answer as it was stored; of ``reply`` a message that is not saved."""

    message: ChatMessage


Part: TypeAlias = Found | Text | Answered


def stream(
    session: ChatSession,
    question: str,
    *,
    idempotency_key: str = "",
    model_settings: Mapping[str, Any] | None = None,
) -> AsyncGenerator[Part]:
    """Answer a question as the session's user, and yield the answer while it is written.

    Yields one ``Found``, then ``Text``, and ``Answered`` at the end. Question and answer are stored with the runs
    behind them, also if the answer fails or the reader leaves.

    Args:
        session: its messages are the context of a follow-up question.
        question: of at most ``MAX_QUESTION_CHARACTERS`` characters.
        idempotency_key: kept on the question; the database refuses a second question of the session with it.
        model_settings: those of pydantic-ai for the answer, such as ``{"temperature": 0}``.

    Raises:
        ChatError: the question is empty or too long.
        EmbeddingError, SearchError: the search failed.
        RunError, BudgetExceededError: the model did not answer; see docs/agents.md.

    Example::

        async for part in stream(session, "How do triggers work?"):
            if isinstance(part, Text):
                print(part.text, end="")
    """
    return _in_one_task(_parts(lambda: _start(session, question, idempotency_key, model_settings)))


def reply(
    user: Any,
    question: str,
    *,
    history: Sequence[Turn] = (),
    system: str = "",
    model_settings: Mapping[str, Any] | None = None,
) -> AsyncGenerator[Part]:
    """As ``stream``, for a conversation that somebody else keeps: no message is stored, only the runs are.

    Args:
        user: with whose rights it is answered.
        history: earlier turns, oldest first, of which the latest that fit into ``CHAT["HISTORY_TOKENS"]`` are used.
        system: wishes of the caller about the answer. The model reads them beside its instructions, as it does those
            of every program that asks in a user's name; they change nothing of what is found.
        model_settings: as in ``stream``.

    Raises:
        ChatError: there is no user, or as in ``stream``.
    """

    def start() -> _Answer:
        if user is None or not getattr(user, "is_authenticated", False):
            raise ChatError("A chat belongs to a user: sign in first.")
        return _Answer(
            user=user,
            question=store.check_question(question),
            model=configured_model(),
            history=store.latest_turns(list(history)),
            system=system,
            model_settings=model_settings,
        )

    return _in_one_task(_parts(start))


async def aask(session: ChatSession, question: str, *, idempotency_key: str = "") -> ChatMessage:
    """Async twin of ``ask``."""
    answered = None
    async with aclosing(stream(session, question, idempotency_key=idempotency_key)) as parts:
        async for part in parts:
            if isinstance(part, Answered):
                answered = part.message
    if answered is None:
        raise RuntimeError("a stream ended without an answer")
    return answered


def ask(session: ChatSession, question: str, *, idempotency_key: str = "") -> ChatMessage:
    """Answer a question as the session's user, and return the whole answer; arguments as in ``stream``.

    Raises:
        ChatError: it was called in async code, too.
    """
    if asyncio._get_running_loop() is not None:
        raise ChatError("ask() was called in async code: use `await aask(...)`.")
    return async_to_sync(aask)(session, question, idempotency_key=idempotency_key)


@dataclass(kw_only=True)
class _Answer:
    """An answer in progress. Its mode is FAILED until it is complete, so that whatever interrupts it is recorded so."""

    user: Any
    question: str
    model: str
    history: list[Turn]
    message: ChatMessage | None = None
    system: str = ""
    model_settings: Mapping[str, Any] | None = None
    query: str = ""
    passages: list[Passage] = field(default_factory=list)
    mode: str = Mode.FAILED
    text: str = ""
    citations: Citations = field(default_factory=lambda: Citations(()))
    execution_id: UUID | None = None
    rewriting_id: UUID | None = None


async def _parts(start: Callable[[], _Answer]) -> AsyncGenerator[Part]:
    answer = await sync_to_async(start)()
    stored = None
    try:
        await _search(answer)
        yield Found(answer.query, tuple(answer.passages))
        async with aclosing(_answer_text(answer)) as pieces:
            async for piece in pieces:
                answer.text += piece
                yield Text(piece)
        stored = await sync_to_async(_store)(answer)
        yield Answered(stored)
    except RunError as error:
        answer.execution_id = error.execution_id
        raise
    finally:
        if stored is None:
            answer.mode = Mode.FAILED
            # Shielded: the reader's leaving cancels this task, and the row has to be written all the same.
            await asyncio.shield(sync_to_async(_store)(answer))


def _start(
    session: ChatSession, question: str, idempotency_key: str, model_settings: Mapping[str, Any] | None
) -> _Answer:
    checked = store.check_question(question)
    model = configured_model()
    message = store.store_question(session, checked, idempotency_key=idempotency_key)
    history = store.recent_turns(session, before=message)
    return _Answer(
        user=session.user,
        message=message,
        question=checked,
        model=model,
        history=history,
        model_settings=model_settings,
    )


async def _search(answer: _Answer) -> None:
    """Find the passages; none are kept where none is relevant, so that nothing is answered from noise."""
    user, history = answer.user, answer.history
    if not answer.model:
        previous = history[-1].searched if history else ""
        answer.query, found = await sync_to_async(find_for_follow_up)(answer.question, previous, user)
        found = found[:EXTRACTIVE_PASSAGES]
    else:
        answer.query = answer.question
        if history:
            answer.query, answer.rewriting_id = await rewrite_question(user, answer.question, history, answer.model)
        found = await sync_to_async(find_passages)(answer.query, user)
        found = fit_passages(found, get_settings().chat.context_tokens)
    answer.passages = found if are_relevant(found) else []
    answer.citations = Citations(answer.passages)


async def _answer_text(answer: _Answer) -> AsyncGenerator[str]:
    """The text of the answer, without markers that do not name a passage."""
    if not answer.passages:
        yield UNKNOWN
        answer.mode = Mode.UNKNOWN
        return
    if not answer.model:
        for number, piece in enumerate(extractive_answer(answer.passages)):
            yield piece  # not fed to the citations: brackets in a passage are its own
            if number:
                answer.citations.cite(number)
        answer.mode = Mode.EXTRACTIVE
        return
    async with aclosing(_model_text(answer)) as pieces:
        async for piece in pieces:
            if checked := answer.citations.feed(piece):
                yield checked
    if rest := answer.citations.end():
        yield rest
    answer.mode = Mode.MODEL


async def _model_text(answer: _Answer) -> AsyncGenerator[str]:
    from pgknowbase.agents import DjangoDeps  # the extra

    prompt = question_with_passages(answer.question, answer.passages)
    history = as_messages([(turn.question, turn.answer) for turn in answer.history], system=answer.system)
    run = answering_agent().run_stream(
        prompt,
        deps=DjangoDeps.from_user(answer.user),
        model=answer.model,
        message_history=history,
        model_settings=answer.model_settings,
    )
    async with run as text:
        answer.execution_id = text.execution_id
        async for piece in text.stream_text(delta=True):
            yield piece


def _store(answer: _Answer) -> ChatMessage:
    return store.store_answer(
        answer.message,
        mode=answer.mode,
        text=answer.text,
        search_query=answer.query,
        citations=answer.citations.used(),
        dropped=answer.citations.dropped,
        execution_id=answer.execution_id,
        rewriting_id=answer.rewriting_id,
    )


async def _in_one_task(source: AsyncGenerator[T]) -> AsyncGenerator[T]:
    """What ``source`` yields, while ``source`` itself runs in one task from beginning to end.

    The cancel scopes of a run must be left in the task that entered them. A server, however, may ask for each part of a
    response in another task, and close the generator in yet another one.
    """
    parts: asyncio.Queue[T] = asyncio.Queue()

    async def produce() -> None:
        try:
            async with aclosing(source):
                async for part in source:
                    parts.put_nowait(part)
        finally:
            parts.put_nowait(END)

    producer = asyncio.create_task(produce())
    try:
        while (part := await parts.get()) is not END:
            yield part
        await producer
    finally:
        producer.cancel()
        await asyncio.wait({producer})
        if not producer.cancelled():
            producer.exception()  # raised above, or not wanted by anybody; marks it as retrieved
