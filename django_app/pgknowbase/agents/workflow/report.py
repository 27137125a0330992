"""What a workflow returns."""

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any
from uuid import UUID


@dataclass(frozen=True, kw_only=True)
class StepResult:
    """One step: ``path`` is its place, such as ``"1/summarizer"``; ``error`` is empty where it succeeded."""

    path: str
    agent: str
    output: Any = None
    error: str = ""
    execution_id: UUID | None = None


@dataclass(frozen=True, kw_only=True)
class WorkflowResult:
    """``output`` is that of the last part; ``steps`` are all, in the order in which they ended."""

    workflow_id: UUID
    output: Any
    steps: list[StepResult] = field(default_factory=list)
    execution_time: float = 0.0
    total_tokens: int = 0
    total_cost: Decimal | None = None

    @property
    def failures(self) -> list[StepResult]:
        """The steps of a parallel part that failed."""
        return [step for step in self.steps if step.error]
