"""Workflows declared in code by name, as agents are."""

from dataclasses import dataclass
from typing import Any

from pgknowbase.agents.workflow.nodes import Conditional, Member, Node, Parallel, Sequential, Step, as_node, steps_of
from pgknowbase.discovery import home
from pgknowbase.errors import ConfigurationError, UnknownWorkflowError, WorkflowError

LONGEST_NAME = 200
_workflows: dict[str, "Workflow"] = {}
PATTERNS = {Sequential: "sequential", Parallel: "parallel", Conditional: "conditional", Step: "step"}


@dataclass(frozen=True, kw_only=True)
class Workflow:
    """A workflow with a name. ``home``: the module of the app that declares it."""

    name: str
    node: Node
    description: str = ""
    home: str | None = None

    @property
    def pattern(self) -> str:
        """The kind of its outermost part."""
        return PATTERNS[type(self.node)]

    @property
    def agents(self) -> list[str]:
        """The names of the agents that may run, in their order."""
        return [step.name for step in steps_of(self.node)]

    def check_user(self, user: Any) -> None:
        """Whether ``user`` may use each of its agents that is named.

        Raises:
            UnknownAgentError: one is unknown, or not for this user.
            NoModelError: one has no model.
        """
        from pgknowbase.agents.registry import get_agent

        for step in steps_of(self.node):
            agent = get_agent(step.agent, user=user) if isinstance(step.agent, str) else step.agent
            agent.model_name()


def define_workflow(name: str, workflow: Member, *, description: str = "") -> Workflow:
    """Give a workflow a name, in the ``agents.py`` of an app: REST, admin and workers know it by that.

    A later one of the same name takes its place, but not in two apps.

    Raises:
        WorkflowError: it has no name, or is not made of parts of a workflow.
        ConfigurationError: another app's ``agents.py`` has one of that name.
    """
    if not 0 < len(name) <= LONGEST_NAME:
        raise WorkflowError(f"The name {name[:LONGEST_NAME]!r} is no name: pass 1 to {LONGEST_NAME} characters.")
    node = as_node(workflow)
    list(steps_of(node))  # every part is one
    here, before = home(), _workflows.get(name)
    if here and before and before.home not in (None, here):
        raise ConfigurationError(
            f"Workflow {name!r} is declared in {before.home!r} and in {here!r}: give one of them another name."
        )
    _workflows[name] = Workflow(name=name, node=node, description=description, home=here)
    return _workflows[name]


def defined() -> list[Workflow]:
    """The workflows declared in code, by name."""
    return [_workflows[name] for name in sorted(_workflows)]


def get_workflow(name: str) -> Workflow:
    """The workflow of that name.

    Raises:
        UnknownWorkflowError: there is none.
    """
    try:
        return _workflows[name]
    except KeyError:
        known = ", ".join(map(repr, sorted(_workflows))) or "none"
        raise UnknownWorkflowError(
            f"Workflow {name!r} is not defined: define_workflow() it in the agents.py of an app. Known: {known}."
        ) from None
