"""Django's ORM from the server's event loop."""

from collections.abc import Callable
from typing import TypeVar

import anyio.to_thread
from django.db import close_old_connections

Answer = TypeVar("Answer")


async def in_thread(call: Callable[[], Answer]) -> Answer:
    """``call`` in a thread, with connections that are fresh before and not kept open beyond their age after."""

    def run() -> Answer:
        close_old_connections()
        try:
            return call()
        finally:
            close_old_connections()

    return await anyio.to_thread.run_sync(run)
