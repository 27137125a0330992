"""The system check of agents. It is one of deployments, because it imports pydantic-ai, which takes a second."""

from django.core.checks import CheckMessage, Error

from pgknowbase.agents.agent import DjangoAgent
from pgknowbase.agents.registry import agents
from pgknowbase.errors import AgentError


def check_agents() -> list[CheckMessage]:
    """E070: agents with something that pydantic-ai does not take."""
    messages: list[CheckMessage] = []
    for agent in agents.values():
        try:
            if isinstance(agent, DjangoAgent):
                agent.check_declaration()
        except AgentError as error:
            messages.append(Error(str(error), hint="See docs/agents.md.", id="pgknowbase.E070"))
    return messages
