"""The language model of chats: agents that answer, rewrite follow-up questions, and name conversations.

None of the agents has tools, so no text that was found can make them do anything but write text. None is in the
registry: they are called with passages or a conversation as context, and make no sense without it.
"""

import logging
from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any
from uuid import UUID

from pgknowbase.chat.prompt import INSTRUCTIONS, REWRITE_INSTRUCTIONS, TASK_INSTRUCTIONS, as_messages
from pgknowbase.chat.retrieval import MAX_REWRITTEN_CHARACTERS, with_previous_words
from pgknowbase.chat.store import Turn
from pgknowbase.conf import get_settings
from pgknowbase.errors import MissingExtraError, RunError

if TYPE_CHECKING:
    from pgknowbase.agents import DjangoAgent

ANSWER = "pgknowbase_chat"
REWRITE = "pgknowbase_chat_rewrite"
TASK = "pgknowbase_chat_task"
logger = logging.getLogger("pgknowbase.chat")


def configured_model() -> str:
    """The language model of chats, such as ``"openai:gpt-4o-mini"``; ``""`` where none is configured.

    Without a model a chat answers with the passages themselves.

    Raises:
        MissingExtraError: a model is configured, and the extra that can ask it is not installed.
    """
    settings = get_settings()
    name = settings.chat.model or settings.agents.model
    if name and find_spec("pydantic_ai") is None:
        raise MissingExtraError(
            f"The model {name!r} of chats needs pydantic-ai: run `pip install 'django-pgknowbase[agents]'`."
        )
    return name


def answering_agent() -> "DjangoAgent[Any, str]":
    """The agent that answers a question from passages."""
    return _agent(ANSWER, INSTRUCTIONS)


def task_agent() -> "DjangoAgent[Any, str]":
    """The agent that makes something of a conversation for the program that shows it, such as a title."""
    return _agent(TASK, TASK_INSTRUCTIONS)


async def rewrite_question(user: Any, question: str, history: Sequence[Turn], model: str) -> tuple[str, UUID | None]:
    """A follow-up question as one that can be searched for by itself, and the id of the run that wrote it.

    A failed run does not fail the answer: the question is then searched for with the words of the previous one.
    """
    from pgknowbase.agents import DjangoDeps  # the extra

    messages = as_messages([(turn.question, turn.answer) for turn in history])
    deps = DjangoDeps.from_user(user)
    agent = _agent(REWRITE, REWRITE_INSTRUCTIONS)
    try:
        result = await agent.run(f"Last question: {question}", deps=deps, model=model, message_history=messages)
    except RunError as error:
        logger.warning("A follow-up question is searched for with the words of the previous one: %s", error)
        return with_previous_words(question, history[-1].searched), error.execution_id
    rewritten = " ".join(str(result.output).split())[:MAX_REWRITTEN_CHARACTERS]
    return rewritten or question, result.execution_id


@cache
def _agent(name: str, instructions: str) -> "DjangoAgent[Any, str]":
    from pgknowbase.agents import DjangoAgent  # the extra

    return DjangoAgent(name=name, output_type=str, instructions=instructions, register=False)
