"""``manage.py pgknowbase_recall``: how much the vector index misses, and the setting with which it misses less."""

import argparse
from argparse import ArgumentParser
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError
from tqdm import tqdm

from pgknowbase.conf import get_settings
from pgknowbase.embeddings.base import Vector
from pgknowbase.management.arguments import as_json, as_table, positive
from pgknowbase.management.base import KnowbaseCommand
from pgknowbase.models import RecallMeasurement
from pgknowbase.recall.cases import ALL, Case, cases, embedded, sampled
from pgknowbase.recall.measure import LARGEST, Bench
from pgknowbase.recall.setting import RecallError, current_ef_search, keep, measured_space
from pgknowbase.registry import source_by_label, sources
from pgknowbase.search.options import Options

COLUMNS = (
    "model", "filter", "selectivity", "passing", "queries", "max_hits", "ef_search", "recall", "milliseconds",
    "exact_milliseconds", "target", "needed",
)  # fmt: skip
SHOWN = 50
SHARES = (1.0, 0.5, 0.1, 0.01, 0.001)


class Command(KnowbaseCommand):
    help = (
        "Compare searches by the vector index with exact ones, per source model and filter, and find the smallest"
        " hnsw.ef_search that reaches a recall. --save lets searches use it."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "models", nargs="*", metavar="app.Model", help="default: each source model, and all together"
        )
        parser.add_argument("--queries", type=positive, default=100, metavar="N", help="stored vectors to search with")
        parser.add_argument("--queries-file", type=Path, metavar="PATH", help="search texts instead, one in each line")
        parser.add_argument("--limit", type=positive, default=10, help="rows that each query asks for")
        parser.add_argument("--target", type=_share, default=0.99, help="recall to reach, 0.99")
        parser.add_argument(
            "--selectivity", type=_shares, default=SHARES, help="shares of objects that filters let pass"
        )
        parser.add_argument(
            "--exact-below", type=int, metavar="CHUNKS", help="instead of EXACT_BELOW; 0: the index always"
        )
        parser.add_argument("--seed", type=int, default=0, help="another one draws other queries")
        parser.add_argument("--save", action="store_true", help="let searches use the setting that was found")
        parser.add_argument("--history", action="store_true", help="show the latest measurements, make none")
        parser.add_argument("--format", choices=("table", "json"), default="table")

    def handle(self, *, history: bool, save: bool, format: str, **options: Any) -> None:
        using = get_settings().database
        if history:
            made = list(RecallMeasurement.objects.using(using)[:SHOWN])
            self._write(made, format, ("measured_at", "space", *COLUMNS))
            return
        Options(limit=options["limit"])
        found = list(self._measure(using, **options))
        if not found:
            raise CommandError("Nothing is indexed that could be searched: let 'manage.py pgknowbase_worker' run.")
        self._write(RecallMeasurement.objects.using(using).bulk_create(found), format, COLUMNS)
        if save:
            space = keep(using, _largest_needed(found))
            self.stderr.write(
                f"Searches in the space {space.name!r} use hnsw.ef_search = {space.ef_search} from now on."
            )

    def _measure(
        self,
        using: str,
        *,
        models: Sequence[str],
        selectivity: Sequence[float],
        target: float,
        limit: int,
        **options: Any,
    ) -> Iterator[RecallMeasurement]:
        space = measured_space(using)
        below = options["exact_below"]
        below = get_settings().search.exact_below if below is None else below
        todo = list(self._cases(using, models, selectivity, options))
        for case, queries in tqdm(todo, desc="cases", disable=None if options["verbosity"] else True):
            bench = Bench(using, case, queries, limit, below)
            now = bench.at(current_ef_search(using, limit=limit, filtered=bool(case.filter)))
            needed = bench.needed(target)
            yield RecallMeasurement(
                space=space.name, model=case.model, filter=case.filter, selectivity=case.selectivity,
                passing=case.passing, queries=len(queries), max_hits=limit, ef_search=now.ef_search, recall=now.recall,
                milliseconds=now.milliseconds, exact_milliseconds=bench.exact[1], target=target,
                needed=needed.ef_search if needed else None,
            )  # fmt: skip

    def _cases(
        self, using: str, models: Sequence[str], shares: Sequence[float], options: dict[str, Any]
    ) -> Iterator[tuple[Case, list[Vector]]]:
        texts = _texts(options["queries_file"])
        for label, ids in _scopes(using, models):
            queries = embedded(texts) if texts is not None else sampled(using, ids, options["queries"], options["seed"])
            if not queries:
                continue
            found, without = cases(using, label, ids, shares)
            for case in found:
                yield case, queries
            if without:
                shown = ", ".join(map(str, without))
                self.stderr.write(f"{label}: no metadata entry or tag lets about {shown} of the objects pass.")

    def _write(self, found: Sequence[RecallMeasurement], format: str, columns: Sequence[str]) -> None:
        rows = [{name: getattr(one, name) for name in columns} for one in found]
        if format == "json":
            self.stdout.write(as_json(rows))
            return
        for row in rows:
            row |= {name: round(row[name], 4) for name in ("selectivity", "recall")}
            row |= {name: round(row[name], 2) for name in ("milliseconds", "exact_milliseconds")}
            row["needed"] = row["needed"] or f"more than {LARGEST}"
        self.stdout.write(
            as_table(columns, [list(row.values()) for row in rows]) if rows else "Nothing was measured yet."
        )


def _scopes(using: str, models: Sequence[str]) -> list[tuple[str, tuple[int, ...] | None]]:
    chosen = [source_by_label(label) for label in models] or sources()
    scopes: list[tuple[str, tuple[int, ...] | None]] = [
        (source.label, (source.content_type_id(using),)) for source in chosen
    ]
    return scopes if models else [(ALL, None), *scopes]


def _largest_needed(found: Sequence[RecallMeasurement]) -> int:
    for one in found:
        if one.needed is None:
            raise RecallError(
                f"{one} with hnsw.ef_search = {LARGEST} does not reach {one.target}: nothing was saved. Lower"
                " --target, or raise EXACT_BELOW."
            )
    return max(one.needed or 0 for one in found)


def _texts(path: Path | None) -> list[str] | None:
    if path is None:
        return None
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(
            f"The file of queries {str(path)!r} cannot be read ({error}): name a UTF-8 text file."
        ) from error


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = 0.0
    if not 0 < share <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number above 0 and up to 1")
    return share


def _shares(text: str) -> tuple[float, ...]:
    return tuple(sorted({_share(part) for part in text.split(",")}, reverse=True))
