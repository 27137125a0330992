"""One walk through a workflow; what an earlier walk finished is not done again."""

import asyncio
import inspect
import json
from collections.abc import Callable
from typing import Any
from uuid import UUID

from asgiref.sync import sync_to_async

from pgknowbase.agents.agent import DjangoAgent
from pgknowbase.agents.models import AgentExecution, Status, WorkflowExecution
from pgknowbase.agents.outcome import Place
from pgknowbase.agents.recording.database import alias
from pgknowbase.agents.recording.values import as_json
from pgknowbase.agents.result import AgentResult
from pgknowbase.agents.workflow import rows
from pgknowbase.agents.workflow.nodes import Conditional, Node, Parallel, Sequential, Step, as_node, member_name
from pgknowbase.agents.workflow.report import StepResult
from pgknowbase.errors import (
    ApprovalNeededError,
    PgKnowbaseError,
    RunCancelledError,
    RunError,
    RunTimeoutError,
    WorkflowError,
)


class Walk:
    """Runs the parts and keeps what came of each step in the workflow's row."""

    def __init__(
        self,
        row: WorkflowExecution,
        deps: Any,
        *,
        agent_of: Callable[[str], DjangoAgent[Any, Any]],
        concurrency: int,
    ) -> None:
        self.row = row
        self.deps = deps
        self.steps: list[StepResult] = []
        self._agent_of = agent_of
        self._places = asyncio.Semaphore(concurrency)
        self._writing = asyncio.Lock()
        self._order = 0

    async def run(self, node: Node, prompt: str, former: Any, path: str) -> Any:
        """The output of a part; ``former`` is the output before it, None for the first."""
        if isinstance(node, Step):
            return await self._step(node, prompt, former, f"{path}{node.name}")
        if isinstance(node, Sequential):
            for number, member in enumerate(node.members):
                former = await self.run(as_node(member), prompt, former, f"{path}{number}/")
            return former
        if isinstance(node, Parallel):
            return await self._parallel(node, prompt, former, path)
        return await self._conditional(node, prompt, former, path)

    async def _parallel(self, node: Parallel, prompt: str, former: Any, path: str) -> dict[str, Any]:
        places = asyncio.Semaphore(node.concurrency or len(node.members) or 1)

        async def one(number: int, member: Node) -> Any:
            async with places:
                return await self.run(member, prompt, former, f"{path}{number}/")

        members = [as_node(member) for member in node.members]
        names = _distinct([member_name(member) for member in members])
        done = await asyncio.gather(*map(one, range(len(members)), members), return_exceptions=True)
        failed = {name: each for name, each in zip(names, done, strict=True) if isinstance(each, BaseException)}
        for error in failed.values():
            if not isinstance(error, PgKnowbaseError) or isinstance(error, ApprovalNeededError):
                raise error
        if failed and (node.require_all or len(failed) == len(members)):
            said = "; ".join(f"{name}: {error}" for name, error in failed.items())
            raise WorkflowError(f"{len(failed)} of {len(members)} parallel parts failed: {said}")
        return {name: each for name, each in zip(names, done, strict=True) if name not in failed}

    async def _conditional(self, node: Conditional, prompt: str, former: Any, path: str) -> Any:
        place = f"{path}decide/"
        if callable(node.decide) and not isinstance(node.decide, DjangoAgent):
            said = self._kept(place)
            if said is None:
                said = node.decide(prompt, former)
                said = await said if inspect.isawaitable(said) else said
                await self._note(place, {"output": said, "agent": ""})
        else:
            known = ", ".join(map(repr, node.branches))
            asked = f"{prompt}\n\nAnswer with the name of the part that should go on, one of: {known}."
            said = await self.run(as_node(node.decide), asked, former, place)
        branch = _branch(said, node)
        return await self.run(as_node(node.branches[branch]), prompt, former, f"{path}{branch}/")

    async def _step(self, step: Step, prompt: str, former: Any, path: str) -> Any:
        self._order += 1
        order, entry = self._order, self.row.state.get(path, {})
        if "output" in entry:
            self._done(path, step, entry["output"], entry.get("execution"))
            return entry["output"]
        if await sync_to_async(rows.is_cancelled)(self.row):
            raise WorkflowError("The workflow was cancelled.", workflow_id=self.row.pk)
        agent = await sync_to_async(self._agent_of)(step.agent) if isinstance(step.agent, str) else step.agent
        text = step.prompt(prompt, former) if step.prompt else _with(prompt, former)
        for attempt in range(step.retries + 1):
            try:
                async with self._places:
                    result = await self._run(agent, step, text, Place(workflow_id=self.row.pk, order=order, step=path))
                break
            except ApprovalNeededError as error:
                await self._note(path, {"waiting": str(error.execution_id), "agent": step.name})
                raise
            except PgKnowbaseError as error:
                again = isinstance(error, RunError) and not isinstance(error, RunCancelledError)
                if not again or attempt == step.retries:
                    await self._failed(path, step, error)
                    raise
        await self._note(path, {"output": result.output, "execution": str(result.execution_id), "agent": step.name})
        self._done(path, step, result.output, result.execution_id)
        return result.output

    async def _run(self, agent: DjangoAgent[Any, Any], step: Step, text: str, place: Place) -> Any:
        waiting = self.row.state.get(place.step, {}).get("waiting")
        if waiting is None:
            return await agent.run(text, deps=self.deps, timeout=step.timeout, place=place)
        result = await agent.go_on(UUID(waiting), deps=self.deps)
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
            raise ApprovalNeededError(f"Step {place.step!r} still waits: see {run.pk}.", execution_id=run.pk)
        return await agent.run(text, deps=self.deps, timeout=step.timeout, place=place)

    async def _failed(self, path: str, step: Step, error: PgKnowbaseError) -> None:
        execution = error.execution_id if isinstance(error, RunError) else None
        said = f"{error} (timeout)" if isinstance(error, RunTimeoutError) else str(error)
        self.steps.append(StepResult(path=path, agent=step.name, error=said, execution_id=execution))
        await self._note(path, {"error": said, "agent": step.name})

    def _done(self, path: str, step: Step, output: Any, execution: Any) -> None:
        key = UUID(execution) if isinstance(execution, str) else execution
        self.steps.append(StepResult(path=path, agent=step.name, output=output, execution_id=key))

    def _kept(self, path: str) -> Any:
        return self.row.state.get(path, {}).get("output")

    async def _note(self, path: str, entry: dict[str, Any]) -> None:
        async with self._writing:
            await sync_to_async(rows.note)(self.row, path, entry)


def _with(prompt: str, former: Any) -> str:
    """The prompt of a step that follows another."""
    if former is None:
        return prompt
    shown = former if isinstance(former, str) else json.dumps(as_json(former), ensure_ascii=False)
    return f"{prompt}\n\nOutput of the step before:\n{shown}"


def _branch(said: Any, node: Conditional) -> str:
    """The branch that an answer names: exactly, but for case and what stands around it."""
    value = said.get("branch") if isinstance(said, dict) else getattr(said, "branch", said)
    word = str(value).strip().strip("'\"`.").casefold()
    for name in node.branches:
        if name.casefold() == word:
            return name
    if node.default is not None:
        return node.default
    known = ", ".join(map(repr, node.branches))
    raise WorkflowError(f"The decision {str(value)[:100]!r} names no branch: expected one of {known}.")


def _distinct(names: list[str]) -> list[str]:
    seen: dict[str, int] = {}
    distinct = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        distinct.append(name if seen[name] == 1 else f"{name} {seen[name]}")
    return distinct
