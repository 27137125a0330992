"""What was measured, as a table and as JSON."""

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import psutil
import psycopg

from benchmarks.stats import median, percentile

DIMENSIONS = 256


@dataclass(frozen=True)
class Figure:
    """One line of the report. ``ratio`` is to the line of the same benchmark that ``against`` names."""

    benchmark: str
    case: str
    rows: int
    unit: str
    value: float
    low: float
    high: float
    runs: int
    against: str = ""
    ratio: float | None = None
    target: str = ""
    more: dict[str, Any] = field(default_factory=dict)


def figure(benchmark: str, case: str, values: Sequence[float], *, rows: int, unit: str, **more: Any) -> Figure:
    """The median of ``values`` with its spread; ``more`` may hold against, ratio, target and anything else."""
    named = {name: more.pop(name) for name in ("against", "ratio", "target") if name in more}
    return Figure(
        benchmark, case, rows, unit, median(values), min(values), max(values), len(values), **named, more=more
    )


def ratio(values: Sequence[float], base: Sequence[float]) -> float:
    """The median of the ratios of runs that stood side by side."""
    return median(_ratios(values, base))


def middle(values: Sequence[float], base: Sequence[float]) -> str:
    """Between what the middle half of these ratios lies: an effect smaller than that is not seen."""
    ratios = _ratios(values, base)
    return f"{percentile(ratios, 25):.2f} to {percentile(ratios, 75):.2f}"


def _ratios(values: Sequence[float], base: Sequence[float]) -> list[float]:
    return [one / other for one, other in zip(values, base, strict=True)]


def hardware(connection: psycopg.Connection[Any]) -> dict[str, Any]:
    """The machine and the server, without names or dates."""

    def show(query: str) -> str:
        row = connection.execute(query).fetchone()  # type: ignore[call-overload]
        return str(row[0]) if row else ""

    return {
        "cores": os.cpu_count(),
        "cpu": _cpu_model(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "load_at_start": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "postgres": show("SHOW server_version"),
        "pgvector": show("SELECT extversion FROM pg_extension WHERE extname = 'vector'"),
        "fsync": show("SHOW fsync"),
        "synchronous_commit": show("SHOW synchronous_commit"),
        "shared_buffers": show("SHOW shared_buffers"),
        "dimensions": DIMENSIONS,
    }


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")


def table(figures: Sequence[Figure]) -> str:
    """The figures in aligned columns, Markdown at that."""
    head = ["benchmark", "case", "rows", "median", "min to max", "unit", "ratio", "target", "more"]
    lines = [head, *(_cells(one) for one in figures)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    lines.insert(1, ["-" * width for width in widths])
    return "\n".join(
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in lines
    )


def line(one: Figure) -> str:
    """A line of the table, for whoever waits for it."""
    return " | ".join(cell for cell in _cells(one) if cell)


def _cells(one: Figure) -> list[str]:
    more = ", ".join(f"{name} {_number(value)}" for name, value in one.more.items())
    against = f"{one.ratio:.2f}x of {one.against}" if one.ratio is not None else ""
    spread = f"{_number(one.low)} to {_number(one.high)}"
    return [one.benchmark, one.case, f"{one.rows:,}", _number(one.value), spread, one.unit, against, one.target, more]


def _number(value: Any) -> str:
    if not isinstance(value, float):
        return str(value)
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def write(path: Path, machine: dict[str, Any], figures: Sequence[Figure]) -> None:
    """The same as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"machine": machine, "figures": [asdict(one) for one in figures]}, indent=1) + "\n")
