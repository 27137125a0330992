"""Values as Postgres can store them: any value as JSON, prompts, names and ids."""

from math import isfinite
from typing import Any, Union
from uuid import UUID

from pydantic import PydanticUserError, TypeAdapter
from pydantic_core import to_jsonable_python

from pgknowbase.core.text import is_storable, to_storable
from pgknowbase.errors import AgentError

LONGEST_ERROR = 10_000
LONGEST_NAME = 200


def as_json(value: Any) -> Any:
    """``value`` as JSON. What JSON cannot hold becomes text, and characters that Postgres refuses are replaced."""
    try:
        return _storable(to_jsonable_python(value, fallback=str, bytes_mode="base64"))
    except (
        ValueError,
        RecursionError,
    ):  # lone surrogates, circular references: a run must be recorded whatever it returned
        return to_storable(repr(value))


def restore_output(output_type: Any, data: Any) -> Any:
    """A recorded output as ``output_type``, from its JSON. Types that pydantic cannot validate stay JSON."""
    kinds = output_type if isinstance(output_type, list | tuple) else [output_type]
    # A marker of pydantic-ai, such as ToolOutput, holds the type.
    types: Any = tuple(kind if isinstance(kind, type) else getattr(kind, "output", kind) for kind in kinds)
    try:
        adapter: TypeAdapter[Any] = TypeAdapter(Union[types])  # noqa: UP007
    except (TypeError, PydanticUserError):  # such as a function that takes the output
        return data
    return adapter.validate_python(data)


def prompt_text(prompt: object) -> str:
    """A prompt as its row stores it.

    Raises:
        AgentError: it is not text.
    """
    if not isinstance(prompt, str):
        raise AgentError(f"The prompt {prompt!r:.100} is not text: pass a str.")
    return to_storable(prompt)


def short_text(what: str, text: Any, *, kind: type[AgentError] = AgentError) -> str:
    """Check a name or key that is stored as it is; ``what`` names it in the error.

    Raises:
        AgentError: of that ``kind``: it is not text, too long, or has characters that Postgres refuses.
    """
    if not isinstance(text, str) or len(text) > LONGEST_NAME or not is_storable(text):
        raise kind(
            f"{what} {text!r:.100} cannot be kept: pass a str of {LONGEST_NAME} characters at most, without NUL."
        )
    return text


def row_id(what: str, value: Any, *, kind: type[AgentError] = AgentError) -> UUID:
    """The id of a run or of a workflow as a UUID, also where it came as text; ``what`` names it in the error.

    Raises:
        AgentError: of that ``kind``: it is not a UUID.
    """
    try:
        return value if isinstance(value, UUID) else UUID(str(value))
    except ValueError:
        raise kind(f"{value!r:.100} is not an id of {what}: pass the UUID that its row has.") from None


def _storable(value: Any) -> Any:
    if isinstance(value, str):
        return to_storable(value)
    if isinstance(value, dict):
        return {_storable(key): _storable(each) for key, each in value.items()}
    if isinstance(value, float) and not isfinite(value):
        return str(value)
    if isinstance(value, list):
        return [_storable(each) for each in value]
    return value
