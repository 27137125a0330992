"""``SimpleOrchestrator``: runs workflows, and resumes those that were interrupted."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from asgiref.sync import async_to_sync, sync_to_async

from pgknowbase.agents.deps import DjangoDeps
from pgknowbase.agents.models import Status, WorkflowExecution
from pgknowbase.agents.registry import get_agent
from pgknowbase.agents.runnable import Runnable, require_sync
from pgknowbase.agents.runs.heartbeat import heartbeat
from pgknowbase.agents.runs.json_values import short_text
from pgknowbase.agents.workflows import store
from pgknowbase.agents.workflows.nodes import (
    Member,
    Node,
    as_node,
    check_concurrency,
    from_pattern,
    member_name,
    steps_of,
)
from pgknowbase.agents.workflows.registry import PATTERNS, get_workflow
from pgknowbase.agents.workflows.runner import WorkflowResult, WorkflowRunner
from pgknowbase.conf import get_settings
from pgknowbase.errors import ApprovalNeededError, WorkflowError


class SimpleOrchestrator:
    """Runs agents together.

    Agents and workflows are those of the registries, and those given to ``register_agent`` and ``define``.
    """

    def __init__(self) -> None:
        self._agents: dict[str, Runnable] = {}
        self._workflows: dict[str, Node] = {}

    def register_agent(self, agent: Runnable) -> None:
        """Make an agent that is not in the registry known to this orchestrator, by its name."""
        self._agents[agent.name] = agent

    def define(self, name: str, workflow: Member) -> None:
        """Name a workflow for this orchestrator, so that it can be executed and resumed by name.

        ``define_workflow`` names one for all orchestrators and for workers.
        """
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
        idempotency_key: str = "",
        config: Mapping[str, Any] | None = None,
    ) -> WorkflowResult:
        """Run ``agents`` in a ``pattern`` (``"sequential"``, ``"parallel"``, ``"conditional"``), or a ``workflow``.

        Args:
            pattern: how the agents run together, by default ``"sequential"``; or pass ``workflow``.
            agents: agents, or names of agents.
            prompt: what the user asks; each step gets it.
            deps: as in ``DjangoAgent.run``, for all steps.
            workflow: made of ``Sequential``, ``Parallel``, ``Conditional`` and ``Step``, or the name of a defined one.
            name: for users, by default that of the pattern or of the workflow.
            timeout: seconds of the whole.
            concurrency: how many runs at once, instead of ``AGENTS["WORKFLOW_CONCURRENCY"]``.
            idempotency_key: kept on the row; the database refuses a second workflow with it, also after a failure: such
                a workflow is resumed.
            config: JSON that the row keeps for receivers, which read it as ``instance.config["content_id"]``.

        Raises:
            WorkflowError: a step failed, or it took too long; see the row ``error.workflow_id``.
            ApprovalNeededError: a step waits for a person; the result of ``decide`` names who resumes it afterwards.

        Example::

            result = await SimpleOrchestrator().execute("sequential", ["researcher", "writer"], prompt="...", deps=deps)
            result.output, result.total_cost
        """
        node, label, kind = self._chosen(pattern, agents, workflow, concurrency)
        options: dict[str, Any] = {"timeout": timeout, "concurrency": concurrency, "idempotency_key": idempotency_key}
        options["config"] = config
        defined = workflow if isinstance(workflow, str) else ""
        members = agents if workflow is None else [workflow]
        options["parts"] = not all(isinstance(each, str | Runnable) for each in members)
        row = store.new(node, kind, name=name or label, prompt=prompt, deps=deps, defined=defined, **options)
        await sync_to_async(store.start)(row)
        return await self._run(row, node, deps)

    def plan(
        self, pattern: str | None = None, agents: Sequence[str] = (), *, workflow: str | None = None, **options: Any
    ) -> Any:
        """The unsaved row of a workflow that a worker is to run. Takes what ``execute`` takes, agents by their names.

        Raises:
            WorkflowError, UnknownAgentError, NoModelError: no worker could run it.
        """
        node, label, kind = self._chosen(pattern, agents, workflow, options.get("concurrency"))
        for step in steps_of(node):
            # A worker knows an agent of a pattern by its name alone.
            agent = self._agent(step.name) if workflow is None or isinstance(step.agent, str) else step.agent
            agent.model_name()
        label = options.pop("name", "") or label
        return store.new(node, kind, name=label, defined=workflow or "", **options)

    def execute_sync(self, pattern: str | None = None, agents: Sequence[Member] = (), **options: Any) -> WorkflowResult:
        """``execute`` for sync code."""
        require_sync("execute_sync()", instead="await orchestrator.execute(...)")
        return async_to_sync(self.execute)(pattern, agents, **options)

    async def resume(self, workflow_id: UUID, *, workflow: Member | None = None, deps: Any = None) -> WorkflowResult:
        """Resume a workflow that failed, was paused, or whose process died. Finished steps are not repeated.

        Args:
            workflow_id: the key of its ``WorkflowExecution``.
            workflow: the workflow itself, needed only where it is neither a pattern of agents nor defined by name.
            deps: by default ``DjangoDeps`` of the row's user and session data.

        Outputs of steps that had finished earlier are JSON now. Raises as ``execute``.
        """

        row = await sync_to_async(store.resume)(workflow_id)
        try:
            node = self._known(row, workflow)
        except WorkflowError as error:
            await sync_to_async(store.finish)(row, Status.FAILED, seconds=0, error=str(error))
            raise
        if deps is None:
            deps = DjangoDeps(user_id=row.user_id, session_data=row.config.get("session_data", {}))
        return await self._run(row, node, deps)

    def resume_sync(self, workflow_id: UUID, **options: Any) -> WorkflowResult:
        """``resume`` for sync code."""
        require_sync("resume_sync()", instead="await orchestrator.resume(...)")
        return async_to_sync(self.resume)(workflow_id, **options)

    def check_known(self, row: Any) -> None:
        """Check that ``resume`` needs no more than the id of this workflow.

        Raises:
            AgentError: an agent or the workflow is not known here.
        """
        self._known(row, None)
        for name in dict.fromkeys(row.agents):
            self._agent(name)

    async def _run(self, row: WorkflowExecution, node: Node, deps: Any) -> WorkflowResult:
        since = time.perf_counter()
        concurrency = row.config.get("concurrency") or get_settings().agents.workflow_concurrency
        runner = WorkflowRunner(row, deps, agent_of=self._agent, concurrency=concurrency)

        async def finish(status: Status, **outcome: Any) -> None:
            seconds = time.perf_counter() - since
            await asyncio.shield(sync_to_async(store.finish)(row, status, seconds=seconds, **outcome))

        try:
            with heartbeat.workflow(row.pk):
                async with asyncio.timeout(row.config.get("timeout")):
                    output = await runner.run(node, row.initial_prompt, None, "")
        except ApprovalNeededError as error:
            await finish(Status.PENDING, error=str(error))
            raise
        except asyncio.CancelledError:
            await finish(Status.CANCELLED, error="The workflow was cancelled.")
            raise
        except Exception as error:
            limit = row.config.get("timeout")
            message = f"It took longer than {limit} s." if isinstance(error, TimeoutError) and limit else str(error)
            await finish(Status.FAILED, error=message)
            raise WorkflowError(
                f"Workflow {row.workflow_name!r} failed: {message} Resume it with resume({str(row.pk)!r}).",
                workflow_id=row.pk,
            ) from error
        failures = "; ".join(f"{step.path}: {step.error}" for step in runner.steps if step.error)
        await finish(Status.COMPLETED, output=output, error=failures)
        return WorkflowResult(
            workflow_id=row.pk,
            output=output,
            steps=runner.steps,
            execution_time=row.execution_time or 0.0,
            total_tokens=row.total_tokens,
            total_cost=row.total_cost,
        )

    def _chosen(
        self, pattern: str | None, agents: Sequence[Member], workflow: Any, concurrency: int | None
    ) -> tuple[Node, str, str]:
        check_concurrency(concurrency)
        if pattern is None and workflow is None and agents:
            pattern = "sequential"
        if (pattern is None) == (workflow is None):
            raise WorkflowError("Give execute() either a pattern with agents, or a workflow.")
        if pattern is not None:
            return from_pattern(pattern, agents, concurrency=concurrency), pattern, pattern
        node = self._defined(workflow) if isinstance(workflow, str) else as_node(workflow)
        return node, workflow if isinstance(workflow, str) else member_name(node), PATTERNS[type(node)]

    def _known(self, row: Any, workflow: Member | None) -> Node:
        if workflow is not None:
            return as_node(workflow)
        if row.config.get("defined"):
            return self._defined(row.config["defined"])
        if row.config.get("parts"):
            raise WorkflowError(
                f"Workflow {row.pk} was made of parts that its row does not tell: pass resume() the same"
                " `workflow` again, or define() it by name.",
                workflow_id=row.pk,
            )
        return from_pattern(row.pattern, row.agents) if row.pattern != "step" else as_node(row.agents[0])

    def _defined(self, name: str) -> Node:
        return self._workflows[name] if name in self._workflows else get_workflow(name).node

    def _agent(self, name: str) -> Runnable:
        return self._agents.get(name) or get_agent(name)
