"""What a workflow is made of."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias, Union

from pgknowbase.agents.agent import DjangoAgent
from pgknowbase.errors import WorkflowError

Node: TypeAlias = Union["Step", "Sequential", "Parallel", "Conditional"]
Agent: TypeAlias = str | DjangoAgent[Any, Any]
Member: TypeAlias = Node | Agent
PromptOf: TypeAlias = Callable[[str, Any], str]


@dataclass(frozen=True)
class Step:
    """One run of one agent.

    ``prompt``: makes its prompt of the workflow's and of the former output; ``retries``: new runs after a failed one;
    ``timeout``: seconds of a run.
    """

    agent: Agent
    prompt: PromptOf | None = None
    retries: int = 0
    timeout: float | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.retries, int) or self.retries < 0:
            raise WorkflowError(f"retries {self.retries!r} of {self.agent!r} is out of range: pass 0 or more.")

    @property
    def name(self) -> str:
        """The agent's."""
        return self.agent if isinstance(self.agent, str) else self.agent.name


@dataclass(frozen=True)
class Sequential:
    """One after the other; each sees the former output, and the last output is the whole's."""

    members: Sequence[Member]


@dataclass(frozen=True)
class Parallel:
    """Side by side, at most ``concurrency`` at once; the output is a dict by the members' names.

    ``require_all``: one failure fails the whole. Otherwise failures are reported and it fails if all failed.
    """

    members: Sequence[Member]
    concurrency: int | None = None
    require_all: bool = False

    def __post_init__(self) -> None:
        check_concurrency(self.concurrency)


@dataclass(frozen=True)
class Conditional:
    """``decide`` answers with the name of the branch to take, as text or as the field ``branch`` of its output.

    It may be a function of the prompt and the former output too. ``default``: the branch for any other answer.
    """

    decide: Member | Callable[[str, Any], str]
    branches: Mapping[str, Member]
    default: str | None = None
    retries: int = field(default=0)


def check_concurrency(concurrency: Any) -> None:
    """Refuse a bound that lets nothing run.

    Raises:
        WorkflowError: it is not 1 or more.
    """
    if concurrency is not None and (not isinstance(concurrency, int) or concurrency < 1):
        raise WorkflowError(f"concurrency {concurrency!r} is out of range: pass 1 or more, or None.")


def as_node(member: Any) -> Node:
    """An agent or its name as a step.

    Raises:
        WorkflowError: it is neither, nor a node.
    """
    if isinstance(member, str | DjangoAgent):
        return Step(member)
    if isinstance(member, Step | Sequential | Parallel | Conditional):
        return member
    raise WorkflowError(f"{member!r} is no part of a workflow: give an agent, its name, or a Step.")


def steps_of(member: Any) -> Iterator[Step]:
    """Every step that may run."""
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


def count(member: Any) -> int:
    """How many steps run at most: of the branches of a condition the longest."""
    node = as_node(member)
    if isinstance(node, Step):
        return 1
    if isinstance(node, Conditional):
        first = 0 if _is_function(node.decide) else count(node.decide)
        return first + max((count(branch) for branch in node.branches.values()), default=0)
    return sum(count(part) for part in node.members)


def named(pattern: str, agents: Sequence[Member], *, concurrency: int | None = None) -> Node:
    """The workflow that ``pattern`` makes of agents; in ``"conditional"`` the first one decides between the others.

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
    """The agent's name, or the kind of a larger part."""
    node = as_node(member)
    return node.name if isinstance(node, Step) else type(node).__name__.lower()


def _is_function(decide: Any) -> bool:
    return callable(decide) and not isinstance(decide, DjangoAgent)
