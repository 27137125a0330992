"""The worker: relay, keywords, vectorizer and reactions in one process."""

from pgknowbase.worker.loop import Worker, WorkerTotals

__all__ = ["Worker", "WorkerTotals"]
