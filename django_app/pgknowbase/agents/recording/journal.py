"""Rows of tool calls."""

import time
from typing import Any
from uuid import UUID

from asgiref.sync import sync_to_async
from django.utils import timezone

from pgknowbase.agents.models import ToolExecution
from pgknowbase.agents.recording.database import alias, committed
from pgknowbase.agents.recording.values import LONGEST_ERROR, as_json, as_text


class RowJournal:
    """Writes the tool calls of one run; satisfies ``Journal``."""

    def __init__(self, execution_id: UUID) -> None:
        self.execution_id = execution_id
        self._since: dict[int, float] = {}

    async def tool_started(self, name: str, call_id: str, arguments: Any) -> int:
        """Insert the row of a call that begins; returns its key."""
        row = await sync_to_async(self._start)(name, call_id, as_json(arguments))
        self._since[row] = time.perf_counter()
        return row

    async def tool_ended(self, row: int, status: str, *, result: Any = None, error: str = "") -> None:
        """Write what came of the call."""
        await sync_to_async(self._end)(row, status, as_json(result), as_text(error)[:LONGEST_ERROR])

    def _start(self, name: str, call_id: str, arguments: Any) -> int:
        call = ToolExecution(
            execution_id=self.execution_id,
            tool_name=name,
            tool_call_id=call_id,
            arguments=arguments,
            started_at=timezone.now(),
        )
        committed(lambda: call.save(using=alias(), force_insert=True))
        return int(call.pk)

    def _end(self, row: int, status: str, result: Any, error: str) -> None:
        seconds = time.perf_counter() - self._since.pop(row)

        def write() -> None:
            call = ToolExecution.objects.using(alias()).get(pk=row)
            call.status, call.result, call.error = ToolExecution.Status(status), result, error
            call.execution_time, call.completed_at = seconds, timezone.now()
            call.save(using=alias())

        committed(write)
