"""Agents that are kept in the database: from an ``AgentDefinition`` to an agent that runs."""

import logging
import math
from typing import TYPE_CHECKING, Any

from pgknowbase.agents import registry
from pgknowbase.agents.deps import DjangoDeps
from pgknowbase.agents.models import AgentDefinition, AgentKind
from pgknowbase.agents.runs.database import alias
from pgknowbase.errors import AgentError

if TYPE_CHECKING:
    from pgknowbase.agents.agent import DjangoAgent

logger = logging.getLogger("pgknowbase.agents")

INSTRUCTIONS = {
    AgentKind.CONTENT: "You write and improve texts. Keep to what the given material says.",
    AgentKind.DATA: "You answer questions from data. Ask your tools, never guess a number, and say what is missing.",
    AgentKind.BUSINESS: "You advise on business questions from the given facts. Say what speaks for and against.",
    AgentKind.CUSTOM: "You are a helpful assistant.",
}
TOOLSETS: dict[str, list[str]] = {
    AgentKind.CONTENT: ["knowledge"],
    AgentKind.DATA: ["knowledge", "orm"],
    AgentKind.BUSINESS: ["knowledge"],
    AgentKind.CUSTOM: [],
}


class DatabaseSource:
    """The agents of ``AgentDefinition``, as a source of the registry."""

    def get(self, name: str, user: Any) -> "DjangoAgent[DjangoDeps, str] | None":
        """The active agent of that name, if ``user`` may use it.

        Raises:
            AgentError: its row cannot be an agent.
        """
        definition = AgentDefinition.objects.using(alias()).filter(name=name, is_active=True).first()
        if definition is None or (user is not None and not definition.may_be_used_by(user)):
            return None
        return build_agent(definition)

    def all(self, user: Any) -> "list[DjangoAgent[DjangoDeps, str]]":
        """The active agents that ``user`` may use. Rows that cannot be agents are logged and left out."""
        rows = AgentDefinition.objects.filter(is_active=True) if user is None else AgentDefinition.usable_by(user)
        found = []
        # A row that an agent in code hides is never run, so nobody needs to hear that it is wrong.
        for definition in rows.using(alias()).exclude(name__in=registry.agents):
            try:
                found.append(build_agent(definition))
            except AgentError as error:
                logger.warning("%s", error)
        return found


registry.add_source("database", DatabaseSource())


def build_agent(definition: AgentDefinition) -> "DjangoAgent[DjangoDeps, str]":
    """The agent that a row describes. It is built anew for each use and never registered, because its row may change.

    Raises:
        AgentError: the row cannot be an agent; the message names the field.
    """
    # The extra: rows can be listed and edited without pydantic-ai.
    from pgknowbase.agents.agent import DjangoAgent
    from pgknowbase.agents.toolsets import get_toolset

    try:
        _check(definition)
        names = definition.toolsets
        return DjangoAgent(
            name=definition.name,
            deps_type=DjangoDeps,
            output_type=str,
            description=definition.description,
            instructions=definition.instructions,
            model=definition.model or None,
            timeout=definition.timeout,
            max_retries=definition.max_retries,
            toolsets=[get_toolset(name) for number, name in enumerate(names) if name not in names[:number]],
            permissions=definition.permissions,
            register=False,
        )
    except AgentError as error:
        raise AgentError(
            f"AgentDefinition {definition.pk} ({definition.name[:50]!r}) cannot be an agent: {error} Correct the row."
        ) from error


def new_definition(name: str, kind: str, **fields: Any) -> AgentDefinition:
    """An unsaved definition with the instructions and tool sets of its kind, unless ``fields`` has others."""
    return AgentDefinition(
        name=name,
        kind=kind,
        instructions=fields.pop("instructions", None) or INSTRUCTIONS[AgentKind(kind)],
        toolsets=fields.pop("toolsets", None) or TOOLSETS[AgentKind(kind)],
        **fields,
    )


def _check(definition: AgentDefinition) -> None:
    """Refuse what the form of the admin refuses: rows are written by other code, too."""
    if not isinstance(definition.toolsets, list):
        raise AgentError(f"toolsets is {definition.toolsets!r:.100}: give a list of names.")
    if not isinstance(definition.permissions, dict):
        raise AgentError(f"permissions is {definition.permissions!r:.100}: give an object, by the tool's name.")
    timeout = definition.timeout
    if timeout is not None and not (timeout > 0 and math.isfinite(timeout)):
        raise AgentError(f"timeout is {timeout!r}: give seconds above 0, or none.")
