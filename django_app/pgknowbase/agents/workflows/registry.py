"""Workflows that apps declare by name, as they declare agents."""

from dataclasses import dataclass
from typing import Any

from pgknowbase.agents.registry import LONGEST_NAME, Registry, get_agent
from pgknowbase.agents.workflows.nodes import Conditional, Member, Node, Parallel, Sequential, Step, as_node, steps_of
from pgknowbase.errors import UnknownWorkflowError, WorkflowError

PATTERNS = {Sequential: "sequential", Parallel: "parallel", Conditional: "conditional", Step: "step"}


@dataclass(frozen=True, kw_only=True)
class Workflow:
    """A workflow with a name."""

    name: str
    node: Node
    description: str = ""

    @property
    def pattern(self) -> str:
        """The kind of its outermost part."""
        return PATTERNS[type(self.node)]

    @property
    def agents(self) -> list[str]:
        """The names of the agents that may run, in order."""
        return [step.name for step in steps_of(self.node)]

    def check_user(self, user: Any) -> None:
        """Check that ``user`` may use all its agents, and that each has a model.

        Agents that the workflow holds as objects, not by name, are part of the code that declares it: they are for
        everybody who may run it.

        Raises:
            UnknownAgentError: one is unknown, or not for this user.
            NoModelError: one has no model.
        """
        for step in steps_of(self.node):
            agent = get_agent(step.agent, user=user) if isinstance(step.agent, str) else step.agent
            agent.model_name()


workflows: Registry[Workflow] = Registry("Workflow")


def define_workflow(name: str, workflow: Member, *, description: str = "") -> Workflow:
    """Give a workflow a name, in the ``agents.py`` of an app. REST, the admin and workers know it by that name.

    Raises:
        WorkflowError: the name is empty or too long, or it is not made of parts of a workflow.
        ConfigurationError: another app declares a workflow of that name.
    """
    if not 0 < len(name) <= LONGEST_NAME:
        raise WorkflowError(
            f"{name[:LONGEST_NAME]!r} is not a name for a workflow: use 1 to {LONGEST_NAME} characters."
        )
    node = as_node(workflow)
    list(steps_of(node))  # raises where a nested member is not a part of a workflow
    declared = Workflow(name=name, node=node, description=description)
    workflows.declare(name, declared)
    return declared


def defined_workflows() -> list[Workflow]:
    """The workflows declared in code, sorted by name."""
    return [workflows[name] for name in sorted(workflows)]


def get_workflow(name: str) -> Workflow:
    """The workflow of that name.

    Raises:
        UnknownWorkflowError: there is none.
    """
    if name not in workflows:
        raise UnknownWorkflowError(
            f"Workflow {name!r} is not defined: define_workflow() it in the agents.py of an app."
            f" Known: {workflows.known()}."
        )
    return workflows[name]
