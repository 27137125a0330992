"""Ten questions whose hits a reader can judge."""

import time
from collections.abc import Iterator

from demo.library.search import find

QUESTIONS = (
    "read a gzip file line by line",
    "retry after a timeout",
    "sort a dict by value",
    "parse command line arguments",
    "run a function in another process",
    "temporary directory that deletes itself",
    "compute a sha256 hash",
    "send an email with an attachment",
    "paginate a queryset",
    "protect a form against cross site request forgery",
)
TOP = 3
WIDTH = 100


def warm_up() -> float:
    """One search, so that loading the model is not counted with the first question; seconds."""
    started = time.perf_counter()
    find("anything", limit=1)
    return time.perf_counter() - started


def answer(question: str) -> Iterator[str]:
    """Lines to print: the question with its time, then the best hits."""
    started = time.perf_counter()
    hits = find(question, limit=TOP)
    yield f"  {question}  ({(time.perf_counter() - started) * 1000:.0f} ms)"
    for hit in hits:
        yield f"    {hit.similarity:.2f}  {shorten(hit.title)}"
        yield f"          {shorten(hit.summary)}"
    if not hits:
        yield "    nothing found"


def shorten(text: str) -> str:
    """``text`` cut to one line of the terminal."""
    return text if len(text) <= WIDTH else f"{text[: WIDTH - 1].rstrip()}…"
