"""One worker in a process of its own: says ready, starts on ``go``, ends when its input does.

``python -m benchmarks.child ours|relay|asleep|pgai [vectorizer ids]``
"""

import asyncio
import os
import sys
import threading
import time


def main(kind: str, *vectorizers: str) -> None:
    run = {"ours": _ours, "relay": _relay, "asleep": _asleep, "pgai": _pgai}[kind]
    run([int(number) for number in vectorizers])


def _wait_for_go() -> threading.Event:
    """Returns after ``go``; the event is set when the input ends."""
    print("ready", flush=True)
    sys.stdin.readline()
    ended = threading.Event()

    def watch() -> None:
        while sys.stdin.readline():
            pass
        ended.set()

    threading.Thread(target=watch, daemon=True).start()
    return ended


def _ours(vectorizers: list[int], *, relay_only: bool = False) -> None:
    import django

    django.setup()
    from pgknowbase.agents.background import sweep  # noqa: F401 - what its first heartbeat would import
    from pgknowbase.costs.prices import embedding_price
    from pgknowbase.embeddings import get_embedder
    from pgknowbase.vectorizer.executor import Executor
    from pgknowbase.worker import Worker

    worker = Worker(relay_only=relay_only)
    if not relay_only:
        get_embedder().embed_query("warm")
        executor = Executor()
        executor.splitter  # noqa: B018 - imports pgai
        executor.close()
        embedding_price(executor.embedder.model, executor.embedder.provider)  # imports the prices
    ended = _wait_for_go()
    thread = threading.Thread(target=worker.run)
    thread.start()
    ended.wait()
    worker.stop()
    thread.join()


def _relay(vectorizers: list[int]) -> None:
    _ours(vectorizers, relay_only=True)


def _asleep(vectorizers: list[int]) -> None:
    """Looks as often as an idle worker does, and never finds anything, whatever is written."""
    import django

    django.setup()
    from pgknowbase.relay.outbox import OutboxLowWatermark

    OutboxLowWatermark.place = {"low_watermark": 2**62, "open": [], "since": []}  # type: ignore[assignment]
    _ours(vectorizers, relay_only=True)


def _pgai(vectorizers: list[int]) -> None:
    from pgknowbase.core.pgai import disable_tracing

    disable_tracing()
    import logging

    import openai  # noqa: F401 - what the worker would import at its first batch
    import structlog
    from pgai.vectorizer import Worker

    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    ended = _wait_for_go()
    while not ended.is_set():
        # Its own polling waits at least a second; once mode in a loop does not.
        asyncio.run(Worker(os.environ["PGKNOWBASE_BENCH_URL"], once=True, vectorizer_ids=vectorizers).run())
        time.sleep(0.02)


if __name__ == "__main__":
    main(*sys.argv[1:])
