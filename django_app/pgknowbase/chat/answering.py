"""The two agents of the chat. Neither has tools, and the registry does not know them."""

from functools import cache
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from pgknowbase.chat.prompt import INSTRUCTIONS, REWRITING
from pgknowbase.conf import get_settings
from pgknowbase.errors import MissingExtraError

if TYPE_CHECKING:
    from pgknowbase.agents import DjangoAgent

ANSWER = "pgknowbase_chat"
REWRITE = "pgknowbase_chat_rewrite"


def model() -> str:
    """The language model of chats; '' where none is configured, and answers are passages as they are.

    Raises:
        MissingExtraError: there is one, and what asks it is not installed.
    """
    settings = get_settings()
    name = settings.chat.model or settings.agents.model
    if name and find_spec("pydantic_ai") is None:
        raise MissingExtraError(
            f"The model {name!r} of chats needs pydantic-ai: run `pip install 'django-pgknowbase[agents]'`."
        )
    return name


def answering() -> "DjangoAgent[Any, str]":
    """The agent that answers from passages."""
    return _agent(ANSWER, INSTRUCTIONS)


def rewriting() -> "DjangoAgent[Any, str]":
    """The agent that makes a question of its own of a follow-up."""
    return _agent(REWRITE, REWRITING)


@cache
def _agent(name: str, instructions: str) -> "DjangoAgent[Any, str]":
    from pgknowbase.agents import DjangoAgent

    return DjangoAgent(name=name, output_type=str, instructions=instructions, register=False)
