"""The site of the benchmark ``streams``: the API, an agent that counts, and one that never ends."""

import asyncio
import os
from collections.abc import AsyncIterator
from typing import Any

from django.core.asgi import get_asgi_application
from pydantic_ai.models.function import FunctionModel

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "benchmarks.settings")
application = get_asgi_application()

PAUSE = 0.1


async def _counting(messages: list[Any], info: Any) -> AsyncIterator[str]:
    for number in range(50):
        await asyncio.sleep(PAUSE)
        yield f" {number}" if number else "0"


async def _endless(messages: list[Any], info: Any) -> AsyncIterator[str]:
    while True:
        await asyncio.sleep(0)
        yield "x" * 10_000


def _declare() -> None:
    # The rows of runs are models, which need the apps.
    from pgknowbase.agents import DjangoAgent

    DjangoAgent(name="counting", model=FunctionModel(stream_function=_counting), timeout=600)
    DjangoAgent(name="endless", model=FunctionModel(stream_function=_endless), timeout=3600)


_declare()
