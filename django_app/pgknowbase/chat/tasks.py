"""Streams that may be read from any task."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, TypeVar

T = TypeVar("T")
END: Any = object()


async def in_one_task(source: AsyncGenerator[T]) -> AsyncGenerator[T]:
    """What ``source`` gives, which itself runs in one task from beginning to end.

    The contexts of a run must end in the task that they began in, and servers ask for each part in a task of its own.
    """
    parts: asyncio.Queue[T] = asyncio.Queue()

    async def work() -> None:
        try:
            async with aclosing(source):
                async for part in source:
                    parts.put_nowait(part)
        finally:
            parts.put_nowait(END)

    working = asyncio.create_task(work())
    try:
        while (part := await parts.get()) is not END:
            yield part
        await working
    finally:
        working.cancel()
        await asyncio.wait({working})
        if not working.cancelled():
            working.exception()  # raised above, or nobody waits for it
