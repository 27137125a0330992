"""The worker: relay and vectorizer executor in one process."""

from pgknowbase.worker.loop import Worker, WorkerTotals

__all__ = ["Worker", "WorkerTotals"]
