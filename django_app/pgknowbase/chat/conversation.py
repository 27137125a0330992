"""The way of one answer: follow-up, search, bound, answer, citations, rows."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field
from uuid import UUID

from asgiref.sync import async_to_sync, sync_to_async

from pgknowbase.chat import record
from pgknowbase.chat.answering import answering, model
from pgknowbase.chat.citations import Citations
from pgknowbase.chat.models import ChatMessage, ChatSession
from pgknowbase.chat.parts import Answered, Found, Part, Text
from pgknowbase.chat.prompt import UNKNOWN, as_messages, extracted, question_with_passages, shown
from pgknowbase.chat.record import Turn
from pgknowbase.chat.retrieval import Passage, passages, relevant
from pgknowbase.chat.rewriting import by_model, by_words
from pgknowbase.chat.tasks import in_one_task
from pgknowbase.conf import get_settings
from pgknowbase.errors import ChatError, RunError

BEST_PASSAGES = 3
Mode = ChatMessage.Mode


@dataclass(kw_only=True)
class _Answer:
    """An answer in the making."""

    session: ChatSession
    asked: ChatMessage
    question: str
    model: str
    history: list[Turn]
    query: str = ""
    passages: list[Passage] = field(default_factory=list)
    mode: str = Mode.FAILED
    text: str = ""
    citations: Citations = field(default_factory=lambda: Citations(()))
    execution_id: UUID | None = None
    rewriting_id: UUID | None = None


def stream(session: ChatSession, question: str) -> AsyncGenerator[Part]:
    """The answer to a question while it is made: one ``Found``, then ``Text``, at last ``Answered``.

    Question and answer are stored, with the runs behind it; so is one that fails or that the reader leaves.

    Raises:
        ChatError: the question is empty or too long.
        EmbeddingError, SearchError: nothing can be searched for now.
        RunError, BudgetExceededError: the model did not answer; see docs/agents.md.
    """
    return in_one_task(_parts(session, question))


async def _parts(session: ChatSession, question: str) -> AsyncGenerator[Part]:
    answer = await sync_to_async(_begun)(session, question)
    stored = None
    try:
        await _find(answer)
        yield Found(answer.query, tuple(answer.passages))
        async with aclosing(_pieces(answer)) as pieces:
            async for piece in pieces:
                answer.text += piece
                yield Text(piece)
        stored = await sync_to_async(_stored)(answer)
        yield Answered(stored)
    except RunError as error:
        answer.execution_id = error.execution_id
        raise
    finally:
        if stored is None:
            answer.mode = Mode.FAILED
            await asyncio.shield(sync_to_async(_stored)(answer))


async def aask(session: ChatSession, question: str) -> ChatMessage:
    """Async twin of ``ask``."""
    answered = None
    async with aclosing(stream(session, question)) as parts:
        async for part in parts:
            if isinstance(part, Answered):
                answered = part.message
    if answered is None:
        raise RuntimeError("a stream ended without an answer")
    return answered


def ask(session: ChatSession, question: str) -> ChatMessage:
    """Answer a question as the session's user, and wait for the whole answer. Raises as ``stream``.

    Raises:
        ChatError: in async code, too.
    """
    if asyncio._get_running_loop() is not None:
        raise ChatError("ask() was called in async code: use `await aask(...)`.")
    return async_to_sync(aask)(session, question)


def _begun(session: ChatSession, question: str) -> _Answer:
    checked = record.checked(question)
    chosen = model()
    asked = record.ask(session, checked)
    history = record.turns(session, before=asked)
    return _Answer(session=session, asked=asked, question=checked, model=chosen, history=history)


async def _find(answer: _Answer) -> None:
    if not answer.model:
        answer.query, found = await by_words(answer.session, answer.question, answer.history)
        found = found[:BEST_PASSAGES]
    else:
        answer.query = answer.question
        if answer.history:
            answer.query, answer.rewriting_id = await by_model(
                answer.session, answer.question, answer.history, answer.model
            )
        found = await sync_to_async(passages)(answer.query, answer.session.user)
        found = shown(found, get_settings().chat.context_tokens)
    answer.passages = found if relevant(found) else []
    answer.citations = Citations(answer.passages)


async def _pieces(answer: _Answer) -> AsyncGenerator[str]:
    """The text of the answer, without markers that name nothing."""
    if not answer.passages:
        yield UNKNOWN
        answer.mode = Mode.UNKNOWN
        return
    if not answer.model:
        for number, piece in enumerate(extracted(answer.passages)):
            yield piece  # unchecked: a passage may hold brackets of its own
            if number:
                answer.citations.cite(number)
        answer.mode = Mode.EXTRACTIVE
        return
    async with aclosing(_from_model(answer)) as said:
        async for piece in said:
            if through := answer.citations.feed(piece):
                yield through
    if rest := answer.citations.end():
        yield rest
    answer.mode = Mode.MODEL


async def _from_model(answer: _Answer) -> AsyncGenerator[str]:
    from pgknowbase.agents import DjangoDeps

    prompt = question_with_passages(answer.question, answer.passages)
    history = as_messages([(turn.question, turn.answer) for turn in answer.history])
    deps = DjangoDeps.from_user(answer.session.user)
    run = answering().run_stream(prompt, deps=deps, model=answer.model, message_history=history)
    async with run as said:
        answer.execution_id = said.execution_id
        async for piece in said.stream_text(delta=True):
            yield piece


def _stored(answer: _Answer) -> ChatMessage:
    return record.answer(
        answer.asked,
        mode=answer.mode,
        text=answer.text,
        search_query=answer.query,
        citations=answer.citations.used(),
        dropped=answer.citations.dropped,
        execution_id=answer.execution_id,
        rewriting_id=answer.rewriting_id,
    )
