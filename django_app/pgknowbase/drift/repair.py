"""Healing what a comparison found, and nothing else."""

from collections.abc import Sequence

from pgknowbase import gateway
from pgknowbase.drift.compare import Comparison, Progress
from pgknowbase.drift.report import Drift, Fault
from pgknowbase.registry import Source
from pgknowbase.relay.sync import SyncReport, carefully_if_needed, sync_objects
from pgknowbase.relay.transactions import fresh_reads, queued_last


def check(source: Source, using: str, *, batch_size: int = 500, progress: Progress = lambda rows: None) -> Drift:
    """How the index of one source model differs from its committed rows."""
    return Comparison(source, using, batch_size=batch_size).run(progress=progress)


def repair(source: Source, using: str, *, batch_size: int = 500, progress: Progress = lambda rows: None) -> Drift:
    """As ``check``, and bring in again the objects that have drifted; the worker then embeds what is new.

    What waits in outbox or queue is left to the worker.
    """
    comparison = Comparison(source, using, batch_size=batch_size)

    def heal(faults: Sequence[Fault]) -> None:
        report = _sync(source, comparison.source_id, faults, using)
        comparison.drift.healed.add(report)
        comparison.drift.requeued += sum(fault.kind == "dangling" and not fault.redo for fault in faults)

    return comparison.run(heal, progress)


def _sync(source: Source, source_id: int, faults: Sequence[Fault], using: str) -> SyncReport:
    keys = sorted({fault.object_key for fault in faults})
    redo = sorted({fault.object_key for fault in faults if fault.redo})
    requeue = sorted({fault.object_key for fault in faults if fault.kind == "dangling" and not fault.redo})

    def attempt(careful: bool) -> SyncReport:
        with fresh_reads(using), queued_last(using, True):
            gateway.fetch(using, gateway.LOCK_OBJECTS, source_id, keys)
            gateway.fetch(using, gateway.DISTRUST, source_id, keys, redo)
            report = sync_objects(source, keys, using, careful=careful)
            gateway.fetch(using, gateway.REQUEUE, source_id, requeue, False)
            return report

    return carefully_if_needed(attempt)
