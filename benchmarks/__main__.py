"""``python -m benchmarks [--quick] [--sizes N,N] [--json FILE] [NAME ...]``."""

import argparse
import importlib
import os
import sys
import time
from pathlib import Path

from benchmarks.database import Database, bench_database
from benchmarks.growth import draw
from benchmarks.report import Figure, hardware, table, write

NAMES = (
    *("vectors", "copies", "write-tax", "relay", "end-to-end", "first-load", "lag", "rate", "bookkeeping", "agents"),
    "replicas",
    "cluster",
    "streams",
    "start",
)
RESULTS = Path(__file__).parent / "results"


def main(arguments: list[str]) -> int:
    options = _parser().parse_args(arguments)
    names = NAMES if not options.names or "all" in options.names else options.names
    if os.geteuid() == 0:
        os.environ.setdefault("XDG_RUNTIME_DIR", "/tmp")
    with bench_database() as database:
        _prepare(database)
        with database.connect() as connection:
            machine = hardware(connection)
        figures: list[Figure] = []
        for name in names:
            print(f"{name} ...", file=sys.stderr, flush=True)
            module = importlib.import_module(f"benchmarks.{name.replace('-', '_')}")
            more = {"sizes": options.sizes} if name in ("vectors", "first-load", "cluster") else {}
            figures += module.run(database, quick=options.quick, **more)
        _close()
    print(" | ".join(f"{key} {value}" for key, value in machine.items()))
    print(table(figures))
    path = options.json or RESULTS / f"{'-'.join(names)}-{int(time.time())}.json"
    write(path, machine, figures)
    print(f"written to {path}", file=sys.stderr)
    draw(figures, path.with_suffix(".png"))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure pgknowbase on this machine.")
    parser.add_argument("names", nargs="*", metavar="NAME", type=_name, help=f"{', '.join(NAMES)}, all; default: all")
    parser.add_argument("--quick", action="store_true", help="few rows and rounds, to see that it runs")
    parser.add_argument(
        "--sizes", type=_sizes, metavar="N,N", default=(), help="vectors: numbers of chunks; default: 10000,100000"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="results; default: a file in benchmarks/results/")
    return parser


def _name(value: str) -> str:
    if value not in (*NAMES, "all"):
        raise argparse.ArgumentTypeError(f"{value!r} is not a benchmark: use {', '.join(NAMES)} or all.")
    return value


def _sizes(value: str) -> tuple[int, ...]:
    sizes = tuple(int(size) for size in value.split(",") if size.isdecimal() and int(size) > 0)
    if len(sizes) != value.count(",") + 1:
        raise argparse.ArgumentTypeError(f"{value!r} is not a list of sizes: write 10000,100000.")
    return sizes


def _prepare(database: Database) -> None:
    """Point Django at the database and migrate."""
    os.environ["PGKNOWBASE_BENCH_URL"] = database.url
    os.environ["DJANGO_SETTINGS_MODULE"] = "benchmarks.settings"
    import django
    from django.core.management import call_command

    django.setup()
    call_command("migrate", verbosity=0)


def _close() -> None:
    from django.db import connections

    connections.close_all()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
