"""Rows of tool calls."""

import time
from typing import Any
from uuid import UUID

from asgiref.sync import sync_to_async
from django.utils import timezone

from pgknowbase.agents.models import ToolExecution
from pgknowbase.agents.recording.database import alias, committed, saved_while, with_receivers
from pgknowbase.agents.recording.values import LONGEST_ERROR, as_json, as_text

ENDED = ("status", "result", "error", "execution_time", "completed_at")


class RowJournal:
    """Writes the tool calls of one run; satisfies ``Journal``."""

    def __init__(self, execution_id: UUID) -> None:
        self.execution_id = execution_id
        self._running: dict[int, tuple[ToolExecution, float]] = {}

    async def tool_started(self, name: str, call_id: str, arguments: Any) -> int:
        """Insert the row of a call that begins; returns its key."""
        call = await sync_to_async(self._start)(name, call_id, as_json(arguments))
        self._running[call.pk] = call, time.perf_counter()
        return int(call.pk)

    async def tool_ended(self, row: int, status: str, *, result: Any = None, error: str = "") -> None:
        """Write what came of the call."""
        await sync_to_async(self._end)(row, status, as_json(result), as_text(error)[:LONGEST_ERROR])

    def _start(self, name: str, call_id: str, arguments: Any) -> ToolExecution:
        call = ToolExecution(
            execution_id=self.execution_id,
            tool_name=name,
            tool_call_id=call_id,
            arguments=arguments,
            started_at=timezone.now(),
        )

        def write() -> None:
            with with_receivers(ToolExecution):
                call.save(using=alias(), force_insert=True)

        committed(write)
        return call

    def _end(self, row: int, status: str, result: Any, error: str) -> None:
        call, since = self._running.pop(row)
        call.status, call.result, call.error = ToolExecution.Status(status), result, error
        call.execution_time, call.completed_at = time.perf_counter() - since, timezone.now()
        # A run that was taken for dead has had its calls ended by the sweep.
        committed(lambda: saved_while(call, ENDED, status=ToolExecution.Status.RUNNING))
