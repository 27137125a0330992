"""From an agent kept in the database to one that runs."""

import logging
import math
from collections.abc import Iterable
from typing import Any

from pgknowbase.agents.agent import DjangoAgent
from pgknowbase.agents.deps import DjangoDeps
from pgknowbase.agents.models import AgentDefinition, AgentKind
from pgknowbase.agents.toolsets import named
from pgknowbase.errors import AgentError

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


def built(definition: AgentDefinition) -> DjangoAgent[DjangoDeps, str]:
    """An agent that is not in the registry: its row may change.

    Raises:
        AgentError: the row cannot be an agent.
    """
    try:
        _check(definition)
        return DjangoAgent(
            name=definition.name,
            deps_type=DjangoDeps,
            output_type=str,
            description=definition.description,
            instructions=definition.instructions,
            model=definition.model or None,
            timeout=definition.timeout,
            max_retries=definition.max_retries,
            toolsets=[named(name) for name in dict.fromkeys(definition.toolsets)],
            permissions=definition.permissions,
            register=False,
        )
    except AgentError as error:
        raise AgentError(
            f"AgentDefinition {definition.pk} ({definition.name[:50]!r}) cannot be an agent: {error} Correct the row."
        ) from error


def usable(definitions: Iterable[AgentDefinition]) -> list[DjangoAgent[DjangoDeps, str]]:
    """The agents of those rows that can be one; of the others the log has the reason."""
    found = []
    for definition in definitions:
        try:
            found.append(built(definition))
        except AgentError as error:
            logger.warning("%s", error)
    return found


def _check(definition: AgentDefinition) -> None:
    """What the form of the admin would not have let in."""
    if not isinstance(definition.toolsets, list):
        raise AgentError(f"toolsets is {definition.toolsets!r:.100}: give a list of names.")
    for name in definition.toolsets:
        named(name)
    if not isinstance(definition.permissions, dict):
        raise AgentError(f"permissions is {definition.permissions!r:.100}: give an object, by the tool's name.")
    timeout = definition.timeout
    if timeout is not None and not (timeout > 0 and math.isfinite(timeout)):
        raise AgentError(f"timeout is {timeout!r}: give seconds above 0, or none.")


def new_definition(name: str, kind: str, **fields: Any) -> AgentDefinition:
    """An unsaved definition with what its kind usually has."""
    return AgentDefinition(
        name=name,
        kind=kind,
        instructions=fields.pop("instructions", None) or INSTRUCTIONS[AgentKind(kind)],
        toolsets=fields.pop("toolsets", None) or TOOLSETS[AgentKind(kind)],
        **fields,
    )
