"""The user for whom a tool acts, and what no tool shows."""

from typing import Any

from pgknowbase.agents.tools import RunContext
from pgknowbase.errors import AgentError, ToolRefusedError

# Fields with one of these in their name are never shown to a model, whatever the settings list: what a model has read
# is in its provider's logs, in the run's row and perhaps in its answer.
SECRET_NAMES = (
    *("password", "passwd", "passphrase", "secret", "token", "credential", "session", "otp", "hash", "digest", "salt"),
    *("api_key", "apikey", "private_key", "access_key"),
)


def is_secret(name: str) -> bool:
    """Whether a field of that name may hold a secret."""
    return any(part in name.casefold() for part in SECRET_NAMES)


async def caller(ctx: RunContext[Any]) -> Any:
    """The user of the run, or None for a visitor.

    Raises:
        ToolRefusedError: the deps know no user, or the user is gone or not active.
    """
    get_user = getattr(ctx.deps, "get_user", None)
    if get_user is None:
        raise ToolRefusedError("This tool acts for a user, and the run has none: answer without it.")
    try:
        return await get_user()
    except AgentError as error:
        raise ToolRefusedError(f"{error} Answer without this tool.") from error


async def signed_in(ctx: RunContext[Any]) -> Any:
    """The user of the run.

    Raises:
        ToolRefusedError: it is the run of a visitor.
    """
    user = await caller(ctx)
    if user is None:
        raise ToolRefusedError("This tool is for signed-in users: answer without it.")
    return user
