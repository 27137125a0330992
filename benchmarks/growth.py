"""How the latency of each kind of query grows with the number of chunks, drawn."""

import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from benchmarks.report import Figure


def draw(figures: Sequence[Figure], path: Path) -> None:
    """Write a plot of the median milliseconds by chunks, a line for each case; needs the extra ``bench``."""
    lines: dict[str, list[tuple[int, float]]] = defaultdict(list)
    for one in figures:
        if one.unit == "ms" and "recall@10" in one.more:
            lines[one.case].append((one.rows, one.value))
    if not lines:
        return
    try:
        import matplotlib as mpl
    except ImportError:
        print("no plot: matplotlib is missing, install django-pgknowbase[bench]", file=sys.stderr)
        return
    mpl.use("Agg")
    from matplotlib import pyplot

    plot, axes = pyplot.subplots(figsize=(11, 7))
    kinds = list(dict.fromkeys(map(_kind, lines)))
    for case, points in lines.items():
        style = ":" if case.endswith("exact") else "--" if case.endswith("scan") else "-"
        color = pyplot.get_cmap("tab20")(kinds.index(_kind(case)))
        axes.plot(*zip(*sorted(points), strict=True), style, color=color, marker="o", markersize=3, label=case)
    axes.set(xscale="log", yscale="log", xlabel="chunks", ylabel="top 10, median, ms")
    axes.grid(visible=True, which="both", alpha=0.3)
    axes.legend(fontsize=7, loc="center left", bbox_to_anchor=(1, 0.5))
    plot.savefig(path, dpi=120, bbox_inches="tight")
    pyplot.close(plot)
    print(f"growth drawn in {path}", file=sys.stderr)


def _kind(case: str) -> str:
    """What the line shares its color with: the same filter by another way."""
    return case.removesuffix(", exact").removesuffix(", iterative scan")
