"""Running the parts of a workflow. Steps that an earlier attempt has finished are not repeated."""

import asyncio
import inspect
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any
from uuid import UUID

from asgiref.sync import sync_to_async

from pgknowbase.agents.models import AgentExecution, Status, WorkflowExecution
from pgknowbase.agents.runnable import AgentResult, Runnable, StepRef
from pgknowbase.agents.runs.database import alias
from pgknowbase.agents.runs.json_values import as_json
from pgknowbase.agents.workflows import store
from pgknowbase.agents.workflows.nodes import Conditional, Node, Parallel, Sequential, Step, as_node, member_name
from pgknowbase.errors import (
    ApprovalNeededError,
    PgKnowbaseError,
    RunCancelledError,
    RunError,
    RunTimeoutError,
    WorkflowError,
)


@dataclass(frozen=True, kw_only=True)
class StepResult:
    """The result of one step.

    ``path`` is its place in the workflow, such as ``"1/summarizer"``; ``error`` is empty where it succeeded.
    """

    path: str
    agent: str
    output: Any = None
    error: str = ""
    execution_id: UUID | None = None


@dataclass(frozen=True, kw_only=True)
class WorkflowResult:
    """What a completed workflow returns.

    Attributes:
        workflow_id: the key of its ``WorkflowExecution``.
        output: that of the outermost part.
        steps: the results of all steps, in the order in which they ended.
        execution_time: seconds at work, over all attempts.
        total_tokens: of all runs.
        total_cost: US dollars, or None where any price is unknown.
    """

    workflow_id: UUID
    output: Any
    steps: list[StepResult] = field(default_factory=list)
    execution_time: float = 0.0
    total_tokens: int = 0
    total_cost: Decimal | None = None

    @property
    def failures(self) -> list[StepResult]:
        """The steps that failed in a parallel part without ``require_all``."""
        return [step for step in self.steps if step.error]


class WorkflowRunner:
    """Runs the nodes of one workflow, and records the result of each step in its row."""

    def __init__(
        self,
        row: WorkflowExecution,
        deps: Any,
        *,
        agent_of: Callable[[str], Runnable],
        concurrency: int,
    ) -> None:
        self.row = row
        self.deps = deps
        self.steps: list[StepResult] = []
        self._agent_of = agent_of
        self._slots = asyncio.Semaphore(concurrency)
        self._write_lock = asyncio.Lock()
        self._order = 0

    async def run(self, node: Node, prompt: str, previous: Any, path: str) -> Any:
        """Run one part and return its output.

        ``previous`` is the output of the part before, None for the first; ``path`` is the node's place, as in
        ``StepResult``.
        """
        if isinstance(node, Step):
            return await self._step(node, prompt, previous, f"{path}{node.name}")
        if isinstance(node, Sequential):
            for number, member in enumerate(node.members):
                previous = await self.run(as_node(member), prompt, previous, f"{path}{number}/")
            return previous
        if isinstance(node, Parallel):
            return await self._parallel(node, prompt, previous, path)
        return await self._conditional(node, prompt, previous, path)

    async def _parallel(self, node: Parallel, prompt: str, previous: Any, path: str) -> dict[str, Any]:
        slots = asyncio.Semaphore(node.concurrency or len(node.members) or 1)

        async def one(number: int, member: Node) -> Any:
            async with slots:
                return await self.run(member, prompt, previous, f"{path}{number}/")

        members = [as_node(member) for member in node.members]
        names = _unique_names([member_name(member) for member in members])
        done = await asyncio.gather(*map(one, range(len(members)), members), return_exceptions=True)
        failed = {name: each for name, each in zip(names, done, strict=True) if isinstance(each, BaseException)}
        for error in failed.values():
            if not isinstance(error, PgKnowbaseError) or isinstance(error, ApprovalNeededError):
                raise error
        if failed and (node.require_all or len(failed) == len(members)):
            said = "; ".join(f"{name}: {error}" for name, error in failed.items())
            raise WorkflowError(f"{len(failed)} of {len(members)} parallel parts failed: {said}")
        return {name: each for name, each in zip(names, done, strict=True) if name not in failed}

    async def _conditional(self, node: Conditional, prompt: str, previous: Any, path: str) -> Any:
        decision_path = f"{path}decide/"
        if callable(node.decide) and not isinstance(node.decide, Runnable):
            said = self._recorded_output(decision_path)
            if said is None:
                said = node.decide(prompt, previous)
                said = await said if inspect.isawaitable(said) else said
                await self._record(decision_path, {"output": said, "agent": ""})
        else:
            known = ", ".join(map(repr, node.branches))
            question = f"{prompt}\n\nAnswer with the name of the part that should run next, one of: {known}."
            said = await self.run(as_node(node.decide), question, previous, decision_path)
        branch = _branch(said, node)
        return await self.run(as_node(node.branches[branch]), prompt, previous, f"{path}{branch}/")

    async def _step(self, step: Step, prompt: str, previous: Any, path: str) -> Any:
        self._order += 1
        order, entry = self._order, self.row.state.get(path, {})
        if "output" in entry:
            self._append_result(path, step, entry["output"], entry.get("execution"))
            return entry["output"]
        if await sync_to_async(store.is_cancelled)(self.row):
            raise WorkflowError("The workflow was cancelled.", workflow_id=self.row.pk)
        agent = await sync_to_async(self._agent_of)(step.agent) if isinstance(step.agent, str) else step.agent
        text = step.prompt(prompt, previous) if step.prompt else _with_previous_output(prompt, previous)
        for attempt in range(step.retries + 1):
            try:
                async with self._slots:
                    result = await self._run(
                        agent, step, text, StepRef(workflow_id=self.row.pk, order=order, path=path)
                    )
                break
            except ApprovalNeededError as error:
                await self._record(path, {"waiting": str(error.execution_id), "agent": step.name})
                raise
            except PgKnowbaseError as error:
                # Only a run that failed is retried: a budget or an unknown agent would fail again, and a person who has
                # cancelled the run does not want another one.
                may_retry = isinstance(error, RunError) and not isinstance(error, RunCancelledError)
                if not may_retry or attempt == step.retries:
                    await self._record_failure(path, step, error)
                    raise
        await self._record(path, {"output": result.output, "execution": str(result.execution_id), "agent": step.name})
        self._append_result(path, step, result.output, result.execution_id)
        return result.output

    async def _run(self, agent: Runnable, step: Step, text: str, ref: StepRef) -> Any:
        waiting = self.row.state.get(ref.path, {}).get("waiting")
        if waiting is None:
            return await agent.run(text, deps=self.deps, timeout=step.timeout, step=ref)
        result = await agent.resume(UUID(waiting), deps=self.deps)
        if result is not None:
            return result
        run = await AgentExecution.objects.using(alias()).aget(pk=waiting)
        if run.status == Status.COMPLETED:
            return AgentResult(
                output=run.output_data,
                execution_id=run.pk,
                execution_time=run.execution_time or 0,
                tokens_used=run.tokens_used,
                cost=run.cost,
                messages=run.messages,
            )
        if run.status in (Status.PENDING, Status.RUNNING):
            raise ApprovalNeededError(
                f"Step {ref.path!r} still waits for an approval: see execution {run.pk}.", execution_id=run.pk
            )
        return await agent.run(text, deps=self.deps, timeout=step.timeout, step=ref)

    async def _record_failure(self, path: str, step: Step, error: PgKnowbaseError) -> None:
        execution = error.execution_id if isinstance(error, RunError) else None
        said = f"{error} (timeout)" if isinstance(error, RunTimeoutError) else str(error)
        self.steps.append(StepResult(path=path, agent=step.name, error=said, execution_id=execution))
        await self._record(path, {"error": said, "agent": step.name})

    def _append_result(self, path: str, step: Step, output: Any, execution: Any) -> None:
        key = UUID(execution) if isinstance(execution, str) else execution
        self.steps.append(StepResult(path=path, agent=step.name, output=output, execution_id=key))

    def _recorded_output(self, path: str) -> Any:
        return self.row.state.get(path, {}).get("output")

    async def _record(self, path: str, entry: dict[str, Any]) -> None:
        async with self._write_lock:
            await sync_to_async(store.record_step)(self.row, path, entry)


def _with_previous_output(prompt: str, previous: Any) -> str:
    """The prompt of a step that follows another: the workflow's, and what the step before returned."""
    if previous is None:
        return prompt
    shown = previous if isinstance(previous, str) else json.dumps(as_json(previous), ensure_ascii=False)
    return f"{prompt}\n\nOutput of the step before:\n{shown}"


def _branch(said: Any, node: Conditional) -> str:
    """The branch that an answer names, whatever its case, quotes and full stop; nothing else is guessed."""
    value = said.get("branch") if isinstance(said, dict) else getattr(said, "branch", said)
    word = str(value).strip().strip("'\"`.").casefold()
    for name in node.branches:
        if name.casefold() == word:
            return name
    if node.default is not None:
        return node.default
    known = ", ".join(map(repr, node.branches))
    raise WorkflowError(f"The decision {str(value)[:100]!r} does not name a branch: expected one of {known}.")


def _unique_names(names: list[str]) -> list[str]:
    seen: dict[str, int] = {}
    distinct = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        distinct.append(name if seen[name] == 1 else f"{name} {seen[name]}")
    return distinct
