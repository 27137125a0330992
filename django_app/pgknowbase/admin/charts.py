"""Charts as inline SVG without scripts or styles, so that they work under any content security policy.

The geometry is computed here; the template ``admin/pgknowbase/chart.html`` draws it.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

# Pixels of a chart, and how many days are labelled.
WIDTH, HEIGHT = 640, 200
LEFT, TOP, BOTTOM = 64, 12, 26
LABELS = 6


@dataclass(frozen=True, slots=True)
class Series:
    """One series of values, one for each day; ``kind`` decides the colour, None is a missing value."""

    name: str
    kind: str
    values: Sequence[float | None]


@dataclass(frozen=True, slots=True)
class Shape:
    """A bar or a dot, and its tooltip. Coordinates are text, because templates format numbers by locale."""

    kind: str
    label: str
    x: str
    y: str
    width: str = ""
    height: str = ""


@dataclass(slots=True)
class Chart:
    """A chart as the template draws it."""

    title: str
    series: Sequence[Series]
    bars: list[Shape] = field(default_factory=list)
    dots: list[Shape] = field(default_factory=list)
    lines: list[tuple[str, str]] = field(default_factory=list)
    across: list[tuple[str, str]] = field(default_factory=list)
    along: list[tuple[str, str]] = field(default_factory=list)
    ends: list[Shape] = field(default_factory=list)
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    base: int = HEIGHT - BOTTOM

    @property
    def labels_end(self) -> str:
        """The x coordinate at which the labels of the vertical axis end."""
        return _text(self.left - 6)

    @property
    def labels_base(self) -> str:
        """The y coordinate of the labels of days."""
        return _text(self.height - 8)

    @property
    def empty(self) -> bool:
        """Whether there is nothing to draw."""
        return not any(value for each in self.series for value in each.values)


Formatter = Callable[[float], str]


def stacked(title: str, days: Sequence[str], series: Sequence[Series], *, format: Formatter) -> Chart:
    """Stacked bars, one stack per day."""
    chart = Chart(title, series)
    top = _round_up(max((sum(each.values[n] or 0 for each in series) for n in range(len(days))), default=0))
    step = (WIDTH - LEFT) / max(len(days), 1)
    for number, day in enumerate(days):
        height = 0.0
        for each in series:
            value = each.values[number] or 0
            if value:
                upper = _y(height + value, top)
                chart.bars.append(
                    Shape(
                        each.kind,
                        f"{day}, {each.name}: {format(value)}",
                        _text(LEFT + number * step + step * 0.1),
                        _text(upper),
                        _text(step * 0.8),
                        _text(max(_y(height, top) - upper, 1)),
                    )
                )
            height += value
    return _with_axes(chart, days, top, format)


def curves(title: str, days: Sequence[str], series: Sequence[Series], *, format: Formatter) -> Chart:
    """A line for each series, broken where a value is missing."""
    chart = Chart(title, series)
    top = _round_up(max((value or 0 for each in series for value in each.values), default=0))
    step = (WIDTH - LEFT) / max(len(days), 1)
    for each in series:
        points: list[str] = []
        for number, value in enumerate([*each.values, None]):
            if value is None:
                if len(points) > 1:
                    chart.lines.append((each.kind, " ".join(points)))
                points = []
                continue
            x, y = _text(LEFT + (number + 0.5) * step), _text(_y(value, top))
            points.append(f"{x},{y}")
            chart.dots.append(Shape(each.kind, f"{days[number]}, {each.name}: {format(value)}", x, y))
    return _with_axes(chart, days, top, format)


def ranking(title: str, pairs: Sequence[tuple[str, float]], kind: str, *, format: Formatter) -> Chart:
    """Horizontal bars, the longest first."""
    ordered = sorted(pairs, key=lambda pair: -pair[1])[:12]
    left, row = 180, 26
    chart = Chart(title, [Series(title, kind, [value for _, value in ordered])], left=left)
    chart.height = chart.base = max(row * len(ordered), row)
    most = max((value for _, value in ordered), default=0) or 1
    for number, (name, value) in enumerate(ordered):
        y, long = number * row, (WIDTH - left - 60) * value / most
        label = f"{name}: {format(value)}"
        chart.bars.append(Shape(kind, label, _text(left), _text(y + 4), _text(max(long, 1)), _text(row - 8)))
        chart.across.append((_text(y + row / 2), name if len(name) <= 26 else f"{name[:25]}\u2026"))
        chart.ends.append(Shape(kind, format(value), _text(left + long + 6), _text(y + row / 2)))
    return chart


def _with_axes(chart: Chart, days: Sequence[str], top: float, format: Formatter) -> Chart:
    chart.across = [(_text(_y(top * part / 4, top)), format(top * part / 4)) for part in range(5)]
    step = (WIDTH - LEFT) / max(len(days), 1)
    every = max(1, math.ceil(len(days) / LABELS))
    chart.along = [(_text(LEFT + (n + 0.5) * step), day) for n, day in enumerate(days) if n % every == 0]
    return chart


def _y(value: float, top: float) -> float:
    return TOP + (HEIGHT - TOP - BOTTOM) * (1 - value / top)


def _round_up(most: float) -> float:
    """The next larger number that four ticks divide into round numbers."""
    if most <= 0:
        return 4
    unit: float = 10 ** math.floor(math.log10(most))
    return next(unit * factor for factor in (1, 2, 4, 8, 10) if unit * factor >= most)


def _text(number: Any) -> str:
    return f"{number:.1f}"


def whole(value: float) -> str:
    """A count. An axis may have halves."""
    return f"{value:,.0f}" if value == round(value) else f"{value:,.1f}"


def number(value: Any) -> float | None:
    """A figure of a report as a point of a chart."""
    return None if value is None else float(value)
