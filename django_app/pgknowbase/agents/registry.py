"""Which agents there are: those declared in code, and those kept in the database."""

from typing import TYPE_CHECKING, Any

from asgiref.sync import sync_to_async

from pgknowbase.discovery import home, import_from_apps
from pgknowbase.errors import AgentError, ConfigurationError, UnknownAgentError

if TYPE_CHECKING:
    from pgknowbase.agents.agent import DjangoAgent

LONGEST_NAME = 200
_agents: dict[str, "DjangoAgent[Any, Any]"] = {}
_homes: dict[str, str] = {}


def check_name(name: str) -> None:
    """Refuse a name that rows and addresses cannot hold.

    Raises:
        AgentError: it is empty, too long, or not to be written into a path.
    """
    if not 0 < len(name) <= LONGEST_NAME or not name.isprintable() or "/" in name:
        raise AgentError(f"{name[:50]!r} is no name of an agent: use 1 to {LONGEST_NAME} printable characters but '/'.")


def register(agent: "DjangoAgent[Any, Any]") -> None:
    """Make an agent known by its name; a later one of the same name takes its place, but not in two apps.

    Raises:
        ConfigurationError: another app's ``agents.py`` has one of that name.
    """
    here, before = home(), _homes.get(agent.name)
    if here and before and before != here:
        raise ConfigurationError(
            f"Agent {agent.name!r} is declared in {before!r} and in {here!r}: give one of them another name."
        )
    _agents[agent.name] = agent
    if here:
        _homes[agent.name] = here


def discover() -> None:
    """Import ``agents.py`` of each app that has one."""
    import_from_apps("agents")


def declared() -> dict[str, "DjangoAgent[Any, Any]"]:
    """The agents declared in code, by name."""
    return dict(sorted(_agents.items()))


def agent_names() -> list[str]:
    """The names of all agents, declared and kept."""
    from pgknowbase.agents.definitions import usable
    from pgknowbase.agents.models import AgentDefinition
    from pgknowbase.agents.recording.database import alias

    kept = usable(AgentDefinition.objects.using(alias()).filter(is_active=True).exclude(name__in=_agents))
    return sorted({*_agents, *(agent.name for agent in kept)})


def get_agent(name: str, *, user: Any = None) -> "DjangoAgent[Any, Any]":
    """The agent of that name: one declared in code, else one kept in the database.

    With ``user``, only what that user may use: agents declared in code are for any signed-in user, those in the
    database for whom their row names.

    Raises:
        UnknownAgentError: there is none, or it is not for this user.
        AgentError: its row cannot be an agent.
    """
    if name in _agents:
        return _agents[name]
    from pgknowbase.agents.definitions import built
    from pgknowbase.agents.models import AgentDefinition
    from pgknowbase.agents.recording.database import alias

    definition = AgentDefinition.objects.using(alias()).filter(name=name, is_active=True).first()
    if definition is None or (user is not None and not definition.may_be_used_by(user)):
        known = ", ".join(map(repr, agent_names() if user is None else sorted(_agents))) or "none"
        raise UnknownAgentError(
            f"Agent {name!r} is unknown: declare it in the agents.py of an app, or see create_agent. Known: {known}."
        )
    return built(definition)


async def aget_agent(name: str, *, user: Any = None) -> "DjangoAgent[Any, Any]":
    """Async twin of ``get_agent``."""
    return await sync_to_async(get_agent)(name, user=user)


def agents_for(user: Any) -> list[tuple["DjangoAgent[Any, Any]", str]]:
    """What ``user`` may use, by name, with where it is kept: ``code`` or ``database``."""
    from pgknowbase.agents.definitions import usable
    from pgknowbase.agents.models import AgentDefinition
    from pgknowbase.agents.recording.database import alias

    kept = AgentDefinition.usable_by(user).using(alias()).exclude(name__in=_agents)
    found = [(agent, "code") for agent in _agents.values()] + [(agent, "database") for agent in usable(kept)]
    return sorted(found, key=lambda each: each[0].name)
