"""Agents by name: those that apps declare in code, and those of other sources such as the database."""

from collections.abc import Iterable
from typing import Any, Protocol, TypeVar

from asgiref.sync import sync_to_async

from pgknowbase.agents.runnable import Runnable
from pgknowbase.core.discovery import home, import_from_apps
from pgknowbase.errors import AgentError, ConfigurationError, UnknownAgentError

LONGEST_NAME = 200
# The chat among the models of OpenAI's API, where agents stand under their names.
RESERVED = "pgknowbase"
T = TypeVar("T")


class Registry(dict[str, T]):
    """What apps declare in their ``agents.py``, by name; ``kind`` names it in errors, such as ``"Agent"``."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self._kind = kind
        self._modules: dict[str, str] = {}

    def declare(self, name: str, item: T) -> None:
        """Add ``item``, in the place of an earlier one of that name, as when a module is reloaded.

        Raises:
            ConfigurationError: another app has declared that name: which of the two runs must not depend on the order
                of ``INSTALLED_APPS``.
        """
        module, before = home(), self._modules.get(name)
        if module and before and before != module:
            raise ConfigurationError(
                f"{self._kind} {name!r} is declared in {before!r} and in {module!r}: give one of them another name."
            )
        self[name] = item
        if module:
            self._modules[name] = module

    def known(self) -> str:
        """The names, for an error message."""
        return quoted(self)


class AgentSource(Protocol):
    """Agents that are kept somewhere else than in code. ``user`` None stands for any user."""

    def get(self, name: str, user: Any) -> Runnable | None:
        """The agent of that name, or None if there is none that ``user`` may use."""

    def all(self, user: Any) -> Iterable[Runnable]:
        """The agents that ``user`` may use."""


agents: Registry[Runnable] = Registry("Agent")
_sources: dict[str, AgentSource] = {}


def check_name(name: str) -> None:
    """Refuse a name that rows and URLs cannot hold.

    Raises:
        AgentError: it is empty, too long, not printable, holds a slash, or is reserved.
    """
    if name == RESERVED:
        raise AgentError(f"{name!r} is the name of the chat: give the agent another one.")
    if not 0 < len(name) <= LONGEST_NAME or not name.isprintable() or "/" in name:
        raise AgentError(
            f"{name[:50]!r} is not a name for an agent: use 1 to {LONGEST_NAME} printable characters except '/'."
        )


def add_source(label: str, source: AgentSource) -> None:
    """Look for agents in ``source`` too, after those in code; ``label`` tells users where an agent is kept."""
    _sources[label] = source


def discover() -> None:
    """Import ``agents.py`` of each app that has one; agents and workflows declare themselves there."""
    import_from_apps("agents")


def agent_names() -> list[str]:
    """The names of all agents, of code and of the other sources, sorted."""
    kept = (agent.name for source in _sources.values() for agent in source.all(None))
    return sorted({*agents, *kept})


def get_agent(name: str, *, user: Any = None) -> Runnable:
    """The agent of that name: one declared in code, else one of the other sources.

    With ``user``, only what that user may use: agents declared in code are for any signed-in user, those in the
    database for whom their row names.

    Raises:
        UnknownAgentError: there is none, or it is not for this user.
        AgentError: its row in the database cannot be an agent.
    """
    if name in agents:
        return agents[name]
    for source in _sources.values():
        if (agent := source.get(name, user)) is not None:
            return agent
    # The names of others' agents are not for every user to see.
    known = quoted(agent_names()) if user is None else agents.known()
    raise UnknownAgentError(
        f"Agent {name!r} is unknown: declare it in the agents.py of an app, or see create_agent. Known: {known}."
    )


async def aget_agent(name: str, *, user: Any = None) -> Runnable:
    """Async twin of ``get_agent``."""
    return await sync_to_async(get_agent)(name, user=user)


def agents_for(user: Any) -> list[tuple[Runnable, str]]:
    """The agents that ``user`` may use, sorted by name, each with where it is kept: ``"code"`` or ``"database"``."""
    found = [(agent, "code") for agent in agents.values()]
    if user is not None:
        for label, source in _sources.items():
            found += [(agent, label) for agent in source.all(user) if agent.name not in agents]
    return sorted(found, key=lambda each: each[0].name)


def quoted(names: Iterable[str]) -> str:
    """Names for an error message: ``'a', 'b'``, or ``none``."""
    return ", ".join(map(repr, sorted(names))) or "none"
