"""The end of a run that takes too long."""

import ctypes
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from pgknowbase.errors import PgKnowbaseError


class ReactionTimeoutError(PgKnowbaseError):
    """The run took longer than its timeout: make it shorter, or the timeout longer."""

    def __str__(self) -> str:
        return super().__str__() or str(type(self).__doc__)


@contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """Raise ``ReactionTimeoutError`` in this thread when ``seconds`` are over.

    It comes between two steps of Python: a call into C, such as a read without a timeout of its own, ends first.
    """
    thread, lock = threading.get_ident(), threading.Lock()
    over = False

    def interrupt() -> None:
        with lock:
            if not over:
                _raise_in(thread, ReactionTimeoutError)

    timer = threading.Timer(seconds, interrupt)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        with lock:
            over = True
            _raise_in(thread, None)
        timer.cancel()


def _raise_in(thread: int, error: type[BaseException] | None) -> None:
    ctypes.pythonapi.PyThreadState_SetAsyncExc(
        ctypes.c_ulong(thread), ctypes.py_object(error) if error is not None else None
    )
