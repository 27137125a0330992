"""From a follow-up question to a text that can be searched for by itself."""

import logging
import re
from collections.abc import Sequence
from uuid import UUID

from asgiref.sync import sync_to_async

from pgknowbase.chat.answering import rewriting
from pgknowbase.chat.models import ChatSession
from pgknowbase.chat.prompt import as_messages
from pgknowbase.chat.record import Turn
from pgknowbase.chat.retrieval import Passage, passages
from pgknowbase.errors import RunError

LONGEST = 500
logger = logging.getLogger("pgknowbase.chat")


async def by_model(session: ChatSession, question: str, history: Sequence[Turn], model: str) -> tuple[str, UUID | None]:
    """The question as the model writes it, and the run; what a failed run costs is not the answer."""
    from pgknowbase.agents import DjangoDeps

    messages = as_messages([(turn.question, turn.answer) for turn in history])
    deps = DjangoDeps.from_user(session.user)
    try:
        result = await rewriting().run(f"Last question: {question}", deps=deps, model=model, message_history=messages)
    except RunError as error:
        logger.warning("A follow-up is searched for with the words of the former question: %s", error)
        return with_former_words(question, history), error.execution_id
    written = " ".join(str(result.output).split())[:LONGEST]
    return written or question, result.execution_id


async def by_words(session: ChatSession, question: str, history: Sequence[Turn]) -> tuple[str, list[Passage]]:
    """The question, or the question with the former one's words: whichever finds something nearer."""
    alone = await sync_to_async(passages)(question, session.user)
    longer = with_former_words(question, history)
    if longer == question:
        return question, alone
    together = await sync_to_async(passages)(longer, session.user)
    return (longer, together) if _nearest(together) > _nearest(alone) else (question, alone)


def with_former_words(question: str, history: Sequence[Turn]) -> str:
    """The question and those words of what was searched for before that it does not have."""
    if not history:
        return question
    known = {word.casefold() for word in re.findall(r"\w+", question)}
    former = re.findall(r"\w+", history[-1].search_query or history[-1].question)
    added = [word for word in dict.fromkeys(former) if word.casefold() not in known]
    return " ".join([question, *added])[: max(LONGEST, len(question))]


def _nearest(found: Sequence[Passage]) -> float:
    return max((passage.similarity for passage in found if passage.similarity is not None), default=-1.0)
