"""``manage.py pgknowbase_fit``: what meaning weighs against words in hybrid search, from labelled queries."""

from argparse import ArgumentParser
from collections.abc import Sequence
from typing import Any

from django.core.management.base import CommandError
from tqdm import tqdm

from pgknowbase.conf import get_settings
from pgknowbase.management.arguments import as_json, as_table
from pgknowbase.management.base import KnowbaseCommand
from pgknowbase.quality.judgements import read_judgements, read_queries
from pgknowbase.quality.weights import Fit, Fitting, keep, weight_in_use
from pgknowbase.registry import source_by_label


class Command(KnowbaseCommand):
    help = "Find what meaning should weigh against words in hybrid search, from queries whose answers are known."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("queries", help="a text file: BEIR's JSON lines, or one query in each line")
        parser.add_argument("judgements", help="BEIR's qrels: query-id, corpus-id, score, separated by tabs")
        parser.add_argument("models", nargs="*", metavar="app.Model", help="default: all source models together")
        parser.add_argument("--save", action="store_true", help="let searches use the weight if it proves better")
        parser.add_argument("--format", choices=("table", "json"), default="table")

    def handle(
        self,
        *,
        queries: str,
        judgements: str,
        models: Sequence[str],
        save: bool,
        format: str,
        verbosity: int,
        **options: Any,
    ) -> None:
        using, configured = get_settings().database, get_settings().search.dense_weight
        if save and configured is not None:
            raise CommandError(
                f"SEARCH['DENSE_WEIGHT'] is {configured!r} and goes before what is saved: remove it from the settings."
            )
        among = [source_by_label(label).model for label in models] or None
        fitting = Fitting(using, read_queries(queries), read_judgements(judgements), among)
        fit = fitting.fit(weight_in_use(using), lambda numbers: tqdm(numbers, unit="query", disable=verbosity == 0))
        self.stdout.write(as_json(fit.as_dict()) if format == "json" else _table(fit))
        if save:
            self._save(using, fit)

    def _save(self, using: str, fit: Fit) -> None:
        if not fit.is_better:
            raise CommandError(
                f"The weight {fit.weight} does not rank better than {fit.weight_now} on queries it was not found on:"
                " nothing was saved. Judge more queries."
            )
        space = keep(using, fit.weight)
        self.stderr.write(f"Hybrid searches in the space {space.name!r} weigh meaning {fit.weight} from now on.")


def _table(fit: Fit) -> str:
    rows: list[tuple[str, float | None, float]] = [
        ("keyword_search", None, fit.keyword),
        ("semantic_search", None, fit.semantic),
        ("hybrid_search, now", fit.weight_now, fit.now),
        ("hybrid_search, fitted", fit.weight, fit.fitted),
        ("the same, on queries held out", None, fit.held_out),
    ]
    found = as_table(["search", "weight", "ndcg@10"], [[name, weight, round(score, 4)] for name, weight, score in rows])
    curve = as_table(["weight", "ndcg@10"], [[weight, round(score, 4)] for weight, score in fit.curve.items()])
    return f"{found}\n\n{curve}\n\n{fit.queries} queries."
