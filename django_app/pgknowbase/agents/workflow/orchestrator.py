"""``SimpleOrchestrator``: runs workflows and takes them up again."""

import asyncio
import time
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from asgiref.sync import async_to_sync, sync_to_async

from pgknowbase.agents.agent import DjangoAgent
from pgknowbase.agents.deps import DjangoDeps
from pgknowbase.agents.recording.values import short_text
from pgknowbase.agents.synchronous import check_sync
from pgknowbase.agents.workflow.nodes import Member, Node, as_node, check_concurrency, member_name, named, steps_of
from pgknowbase.agents.workflow.registry import PATTERNS, get_workflow
from pgknowbase.agents.workflow.report import WorkflowResult
from pgknowbase.conf import get_settings
from pgknowbase.errors import ApprovalNeededError, WorkflowError


class SimpleOrchestrator:
    """Runs agents together.

    Agents and workflows are those of the registries, and those given to ``register_agent`` and ``define``.
    """

    def __init__(self) -> None:
        self._agents: dict[str, DjangoAgent[Any, Any]] = {}
        self._workflows: dict[str, Node] = {}

    def register_agent(self, agent: DjangoAgent[Any, Any]) -> None:
        """Let an agent be named that is not in the registry."""
        self._agents[agent.name] = agent

    def define(self, name: str, workflow: Member) -> None:
        """Give a workflow a name, under which it can be executed, and taken up again after a crash."""
        self._workflows[short_text("The name of a workflow", name, kind=WorkflowError)] = as_node(workflow)

    async def execute(
        self,
        pattern: str | None = None,
        agents: Sequence[Member] = (),
        *,
        prompt: str,
        deps: Any = None,
        workflow: Member | str | None = None,
        name: str = "",
        timeout: float | None = None,
        concurrency: int | None = None,
    ) -> WorkflowResult:
        """Run ``agents`` as ``pattern`` says (``"sequential"``, ``"parallel"``, ``"conditional"``), or a ``workflow``.

        ``workflow``: made of ``Sequential``, ``Parallel``, ``Conditional`` and ``Step``, or the name of one that was
        defined. ``timeout``: seconds of the whole.

        Raises:
            WorkflowError: a step failed, or it took too long; with ``workflow_id``.
            ApprovalNeededError: a step waits for a person; what ``decide`` returns says who goes on afterwards.
        """
        from pgknowbase.agents.workflow import rows

        node, label, kind = self._chosen(pattern, agents, workflow, concurrency)
        options: dict[str, Any] = {"timeout": timeout, "concurrency": concurrency}
        defined = workflow if isinstance(workflow, str) else ""
        members = agents if workflow is None else [workflow]
        options["parts"] = not all(isinstance(each, str | DjangoAgent) for each in members)
        row = rows.new(node, kind, name=name or label, prompt=prompt, deps=deps, defined=defined, **options)
        await sync_to_async(rows.begin)(row)
        return await self._work(row, node, deps)

    def planned(
        self, pattern: str | None = None, agents: Sequence[str] = (), *, workflow: str | None = None, **options: Any
    ) -> Any:
        """The row of a workflow for somebody else to run, not saved. Takes what ``execute`` takes, by name.

        Raises:
            WorkflowError, UnknownAgentError, NoModelError: nobody could run it.
        """
        from pgknowbase.agents.workflow import rows

        node, label, kind = self._chosen(pattern, agents, workflow, options.get("concurrency"))
        for step in steps_of(node):
            # A worker knows an agent of a pattern by its name alone.
            agent = self._agent(step.name) if workflow is None or isinstance(step.agent, str) else step.agent
            agent.model_name()
        label = options.pop("name", "") or label
        return rows.new(node, kind, name=label, defined=workflow or "", **options)

    def execute_sync(self, pattern: str | None = None, agents: Sequence[Member] = (), **options: Any) -> WorkflowResult:
        """``execute`` for sync code."""
        check_sync("execute_sync()", "await orchestrator.execute(...)")
        return async_to_sync(self.execute)(pattern, agents, **options)

    async def resume(self, workflow_id: UUID, *, workflow: Member | None = None, deps: Any = None) -> WorkflowResult:
        """Take up a workflow that failed, was paused, or whose process died; finished steps do not run again.

        ``workflow``: the same as before, where it was neither a pattern nor defined by name. Outputs of steps that were
        finished before are JSON now. Raises as ``execute``.
        """
        from pgknowbase.agents.models import Status
        from pgknowbase.agents.workflow import rows

        row = await sync_to_async(rows.take)(workflow_id)
        try:
            node = self._known(row, workflow)
        except WorkflowError as error:
            await sync_to_async(rows.end)(row, Status.FAILED, seconds=0, error=str(error))
            raise
        if deps is None:
            deps = DjangoDeps(user_id=row.user_id, session_data=row.config.get("session_data", {}))
        return await self._work(row, node, deps)

    def resume_sync(self, workflow_id: UUID, **options: Any) -> WorkflowResult:
        """``resume`` for sync code."""
        check_sync("resume_sync()", "await orchestrator.resume(...)")
        return async_to_sync(self.resume)(workflow_id, **options)

    def check_known(self, row: Any) -> None:
        """Whether ``resume`` needs no more than the id of this workflow.

        Raises:
            AgentError: an agent or the workflow is not known here.
        """
        self._known(row, None)
        for name in dict.fromkeys(row.agents):
            self._agent(name)

    async def _work(self, row: Any, node: Node, deps: Any) -> WorkflowResult:
        from pgknowbase.agents.models import Status
        from pgknowbase.agents.recording.heartbeat import heart
        from pgknowbase.agents.workflow import rows
        from pgknowbase.agents.workflow.walk import Walk

        since = time.perf_counter()
        concurrency = row.config.get("concurrency") or get_settings().agents.concurrency
        walk = Walk(row, deps, agent_of=self._agent, concurrency=concurrency)

        async def ended(status: Status, **what: Any) -> None:
            seconds = time.perf_counter() - since
            await asyncio.shield(sync_to_async(rows.end)(row, status, seconds=seconds, **what))

        try:
            with heart.workflow(row.pk):
                async with asyncio.timeout(row.config.get("timeout")):
                    output = await walk.run(node, row.initial_prompt, None, "")
        except ApprovalNeededError as error:
            await ended(Status.PENDING, error=str(error))
            raise
        except asyncio.CancelledError:
            await ended(Status.CANCELLED, error="The workflow was cancelled.")
            raise
        except Exception as error:
            limit = row.config.get("timeout")
            said = f"It took longer than {limit} s." if isinstance(error, TimeoutError) and limit else str(error)
            await ended(Status.FAILED, error=said)
            raise WorkflowError(
                f"Workflow {row.workflow_name!r} failed: {said} Take it up again with resume({str(row.pk)!r}).",
                workflow_id=row.pk,
            ) from error
        failures = "; ".join(f"{step.path}: {step.error}" for step in walk.steps if step.error)
        await ended(Status.COMPLETED, output=output, error=failures)
        return WorkflowResult(
            workflow_id=row.pk,
            output=output,
            steps=walk.steps,
            execution_time=row.execution_time,
            total_tokens=row.total_tokens,
            total_cost=row.total_cost,
        )

    def _chosen(
        self, pattern: str | None, agents: Sequence[Member], workflow: Any, concurrency: int | None
    ) -> tuple[Node, str, str]:
        check_concurrency(concurrency)
        if (pattern is None) == (workflow is None):
            raise WorkflowError("Give execute() either a pattern with agents, or a workflow.")
        if pattern is not None:
            return named(pattern, agents, concurrency=concurrency), pattern, pattern
        node = self._defined(workflow) if isinstance(workflow, str) else as_node(workflow)
        return node, workflow if isinstance(workflow, str) else member_name(node), PATTERNS[type(node)]

    def _known(self, row: Any, workflow: Member | None) -> Node:
        if workflow is not None:
            return as_node(workflow)
        if row.config.get("defined"):
            return self._defined(row.config["defined"])
        if row.config.get("parts"):
            raise WorkflowError(
                f"Workflow {row.pk} was made of parts that its row does not tell: give resume() the same"
                " `workflow` again, or define() it by name.",
                workflow_id=row.pk,
            )
        return named(row.pattern, row.agents) if row.pattern != "step" else as_node(row.agents[0])

    def _defined(self, name: str) -> Node:
        return self._workflows[name] if name in self._workflows else get_workflow(name).node

    def _agent(self, name: str) -> DjangoAgent[Any, Any]:
        from pgknowbase.agents.registry import get_agent

        return self._agents.get(name) or get_agent(name)
