"""What recording costs: a run of an agent with rows, budgets and tool calls beside the same run of bare pydantic-ai."""

import time
from collections.abc import Awaitable, Callable
from typing import Any

from benchmarks.database import Database
from benchmarks.report import Figure, figure
from benchmarks.stats import median, percentile

TARGET_MS = 10


def run(database: Database, *, quick: bool) -> list[Figure]:
    from pydantic_ai import Agent

    from pgknowbase.agents import DjangoAgent, DjangoDeps, TestModel

    runs = 20 if quick else 500
    bare = {"text": Agent(), "one tool call": Agent()}
    recorded = {
        name: DjangoAgent[DjangoDeps, str](name=name.replace(" ", "_"), register=False, model=TestModel())
        for name in bare
    }
    bare["one tool call"].tool_plain(tool)
    recorded["one tool call"].tool_plain(tool)
    figures: list[Figure] = []
    for name, plain in bare.items():
        ours = recorded[name]

        async def plainly(agent: Any = plain) -> None:
            await agent.run("x", model=TestModel())

        async def rowed(agent: Any = ours) -> None:
            await agent.run("x")

        base, cost = _async_rounds(plainly, rowed, runs)
        figures += _pair(f"run, {name}", base, cost)
    sync_base, sync_cost = _alternate(
        lambda: bare["text"].run_sync("x", model=TestModel()), lambda: recorded["text"].run_sync("x"), runs
    )
    return figures + _pair("run_sync, text", sync_base, sync_cost)


def tool() -> str:
    """Look."""
    return "seen"


def _async_rounds(
    plain: Callable[[], Awaitable[None]], ours: Callable[[], Awaitable[None]], runs: int
) -> tuple[list[float], list[float]]:
    from asgiref.sync import async_to_sync

    async def rounds() -> tuple[list[float], list[float]]:
        times: tuple[list[float], list[float]] = ([], [])
        for number in range(runs + 5):
            order = ((0, plain), (1, ours)) if number % 2 else ((1, ours), (0, plain))
            for place, work in order:
                started = time.perf_counter()
                await work()
                if number >= 5:
                    times[place].append(1000 * (time.perf_counter() - started))
        return times

    return async_to_sync(rounds)()


def _alternate(plain: Callable[[], object], ours: Callable[[], object], runs: int) -> tuple[list[float], list[float]]:
    times: tuple[list[float], list[float]] = ([], [])
    for number in range(runs + 5):
        for place, work in ((0, plain), (1, ours)):
            started = time.perf_counter()
            work()
            if number >= 5:
                times[place].append(1000 * (time.perf_counter() - started))
    return times


def _pair(case: str, base: list[float], cost: list[float]) -> list[Figure]:
    extra = [ours - plain for ours, plain in zip(cost, base, strict=True)]
    shares = {f"p{percent}": percentile(extra, percent) for percent in (50, 95)}
    return [
        figure("agents", f"{case}: bare pydantic-ai", base, rows=len(base), unit="ms"),
        figure("agents", f"{case}: recorded", cost, rows=len(cost), unit="ms"),
        figure(
            "agents",
            f"{case}: what recording adds",
            [max(median(extra), 0.001)],
            rows=len(extra),
            unit="ms",
            target=f"p50 < {TARGET_MS} ms",
            **shares,
        ),
    ]
