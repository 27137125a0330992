"""The deadline of a run: an exception in its thread when its time is over."""

import ctypes
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from pgknowbase.errors import ReactionTimeoutError


@contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """Raise ``ReactionTimeoutError`` in this thread when ``seconds`` have passed.

    The exception is raised between two bytecodes: a call into C, such as a read without a timeout, ends first.
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
