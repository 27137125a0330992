"""From an agent kept in the database to one that runs."""

from typing import Any

from pgknowbase.agents.agent import DjangoAgent
from pgknowbase.agents.deps import DjangoDeps
from pgknowbase.agents.models import AgentDefinition, AgentKind
from pgknowbase.agents.toolsets import named

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
    """An agent that is not in the registry: its row may change."""
    return DjangoAgent(
        name=definition.name,
        deps_type=DjangoDeps,
        output_type=str,
        description=definition.description,
        instructions=definition.instructions,
        model=definition.model or None,
        timeout=definition.timeout,
        max_retries=definition.max_retries,
        toolsets=[named(name) for name in definition.toolsets],
        permissions=definition.permissions,
        register=False,
    )


def new_definition(name: str, kind: str, **fields: Any) -> AgentDefinition:
    """An unsaved definition with what its kind usually has."""
    return AgentDefinition(
        name=name,
        kind=kind,
        instructions=fields.pop("instructions", None) or INSTRUCTIONS[AgentKind(kind)],
        toolsets=fields.pop("toolsets", None) or TOOLSETS[AgentKind(kind)],
        **fields,
    )
