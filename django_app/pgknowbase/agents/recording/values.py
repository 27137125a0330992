"""Any value as JSON that Postgres takes."""

from math import isfinite
from typing import Any
from uuid import UUID

from pydantic_core import to_jsonable_python

from pgknowbase.errors import AgentError

LONGEST_ERROR = 10_000
LONGEST_NAME = 200


def as_json(value: Any) -> Any:
    """``value`` as JSON; what has no form there becomes text; characters that Postgres refuses are replaced."""
    try:
        return _storable(to_jsonable_python(value, fallback=str, bytes_mode="base64"))
    except (ValueError, RecursionError):  # lone surrogates, circles: a run must be recorded whatever it returned
        return as_text(repr(value))


def as_text(text: str) -> str:
    """``text`` without NUL and lone surrogates, which Postgres refuses."""
    return text.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()


def prompt_text(prompt: object) -> str:
    """A prompt as its row keeps it.

    Raises:
        AgentError: it is no text.
    """
    if not isinstance(prompt, str):
        raise AgentError(f"The prompt {prompt!r:.100} is no text: pass a str.")
    return as_text(prompt)


def short_text(what: str, text: Any, *, kind: type[AgentError] = AgentError) -> str:
    """A name or key as a row can hold it.

    Raises:
        AgentError: of that ``kind``: it is no text, too long, or has characters that Postgres refuses.
    """
    if not isinstance(text, str) or len(text) > LONGEST_NAME or as_text(text) != text:
        raise kind(
            f"{what} {text!r:.100} cannot be kept: pass a str of {LONGEST_NAME} characters at most, without NUL."
        )
    return text


def row_id(what: str, value: Any, *, kind: type[AgentError] = AgentError) -> UUID:
    """The id of a run or of a workflow, also where it came as text.

    Raises:
        AgentError: of that ``kind``: it is none.
    """
    try:
        return value if isinstance(value, UUID) else UUID(str(value))
    except ValueError:
        raise kind(f"{value!r:.100} is no id of {what}: pass the UUID that its row has.") from None


def _storable(value: Any) -> Any:
    if isinstance(value, str):
        return value if value.isascii() and "\x00" not in value else as_text(value)
    if isinstance(value, dict):
        return {_storable(key): _storable(each) for key, each in value.items()}
    if isinstance(value, float) and not isfinite(value):
        return str(value)
    if isinstance(value, list):
        return [_storable(each) for each in value]
    return value
