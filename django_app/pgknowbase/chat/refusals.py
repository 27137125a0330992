"""What goes wrong in a chat, as problems of the API."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from pgknowbase.api.problems import Problem
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

logger = logging.getLogger("pgknowbase.chat")


@contextmanager
def refusals() -> Iterator[None]:
    """Errors inside become problems; what a provider said goes to the log and the row of the run alone.

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
        raise _unanswered(503, "The chat is not set up rightly: tell an administrator.", error) from error
    except AgentError as error:
        raise _unanswered(502, "The language model did not answer: ask again.", error) from error
    except EmbeddingError as error:
        raise _unanswered(503, "Nothing can be searched for now: try again later.", error) from error


def _unanswered(status: int, detail: str, error: Exception) -> Problem:
    logger.error("A chat got no answer: %s", error)
    return Problem(status, "no-answer", detail)
