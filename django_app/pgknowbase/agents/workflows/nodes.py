"""The parts of a workflow: a tree of ``Sequential``, ``Parallel`` and ``Conditional`` with ``Step`` at its leaves."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, Union

from pgknowbase.agents.runnable import Runnable
from pgknowbase.errors import WorkflowError

Node: TypeAlias = Union["Step", "Sequential", "Parallel", "Conditional"]
Agent: TypeAlias = str | Runnable
Member: TypeAlias = Node | Agent
PromptFunction: TypeAlias = Callable[[str, Any], str]


@dataclass(frozen=True)
class Step:
    """One run of one agent.

    Args:
        agent: an agent, or the name of one in the registry.
        prompt: a function of the workflow's prompt and the previous output that returns the step's prompt. By default
            the previous output is appended to the workflow's prompt.
        retries: new runs after a failed one.
        timeout: seconds of one run, instead of the agent's.
    """

    agent: Agent
    prompt: PromptFunction | None = None
    retries: int = 0
    timeout: float | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.retries, int) or self.retries < 0:
            raise WorkflowError(f"retries {self.retries!r} of {self.agent!r} is out of range: pass 0 or more.")

    @property
    def name(self) -> str:
        """The name of its agent."""
        return self.agent if isinstance(self.agent, str) else self.agent.name


@dataclass(frozen=True)
class Sequential:
    """One member after the other. Each sees the previous output, and the last output is that of the whole."""

    members: Sequence[Member]


@dataclass(frozen=True)
class Parallel:
    """All members at the same time. The output is a dict by the members' names.

    Args:
        members: agents, their names, or further parts.
        concurrency: how many run at once; None for all of them, up to ``AGENTS["WORKFLOW_CONCURRENCY"]`` runs per
        workflow. require_all: one failure fails the whole. Otherwise failures are reported, and the part fails only if
        all
            failed.
    """

    members: Sequence[Member]
    concurrency: int | None = None
    require_all: bool = False

    def __post_init__(self) -> None:
        check_concurrency(self.concurrency)


@dataclass(frozen=True)
class Conditional:
    """Takes the branch that ``decide`` names.

    Args:
        decide: an agent whose output is the name, as text or in its field ``branch``; or a function, sync or async, of
            the prompt and the previous output that returns it.
        branches: the branches by name; case and surrounding quotes of an answer do not matter.
        default: the branch for any other answer; without one such an answer fails the workflow.
    """

    decide: Member | Callable[[str, Any], str]
    branches: Mapping[str, Member]
    default: str | None = None


def check_concurrency(concurrency: Any) -> None:
    """Refuse a concurrency with which nothing could run.

    Raises:
        WorkflowError: it is not 1 or more.
    """
    if concurrency is not None and (not isinstance(concurrency, int) or concurrency < 1):
        raise WorkflowError(f"concurrency {concurrency!r} is out of range: pass 1 or more, or None.")


def as_node(member: Any) -> Node:
    """``member`` as a node: an agent or its name becomes a step.

    Raises:
        WorkflowError: it is neither, and not a node.
    """
    if isinstance(member, str | Runnable):
        return Step(member)
    if isinstance(member, Step | Sequential | Parallel | Conditional):
        return member
    raise WorkflowError(f"{member!r} is not a part of a workflow: pass an agent, its name, or a Step.")


def steps_of(member: Any) -> Iterator[Step]:
    """Every step that may run, in order."""
    node = as_node(member)
    if isinstance(node, Step):
        yield node
        return
    parts: list[Any] = []
    if isinstance(node, Conditional):
        parts = [*([] if _is_function(node.decide) else [node.decide]), *node.branches.values()]
    else:
        parts = list(node.members)
    for part in parts:
        yield from steps_of(part)


def count_steps(member: Any) -> int:
    """How many steps run at most. Of the branches of a condition the longest counts."""
    node = as_node(member)
    if isinstance(node, Step):
        return 1
    if isinstance(node, Conditional):
        first = 0 if _is_function(node.decide) else count_steps(node.decide)
        return first + max((count_steps(branch) for branch in node.branches.values()), default=0)
    return sum(count_steps(part) for part in node.members)


def from_pattern(pattern: str, agents: Sequence[Member], *, concurrency: int | None = None) -> Node:
    """The workflow that ``pattern`` makes of agents. In ``"conditional"`` the first one decides between the others.

    Raises:
        WorkflowError: the pattern is unknown, or there are too few agents.
    """
    if pattern not in ("sequential", "parallel", "conditional"):
        raise WorkflowError(f"Pattern {pattern!r} is unknown: use 'sequential', 'parallel' or 'conditional'.")
    if len(agents) < (2 if pattern == "conditional" else 1):
        raise WorkflowError(f"A {pattern!r} workflow of {len(agents)} agents: name more of them.")
    if pattern == "sequential":
        return Sequential(agents)
    if pattern == "parallel":
        return Parallel(agents, concurrency=concurrency)
    return Conditional(agents[0], {member_name(member): member for member in agents[1:]})


def member_name(member: Any) -> str:
    """The name of a step's agent, or the kind of a larger part."""
    node = as_node(member)
    return node.name if isinstance(node, Step) else type(node).__name__.lower()


def _is_function(decide: Any) -> bool:
    return callable(decide) and not isinstance(decide, Runnable)
