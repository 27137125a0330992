"""``manage.py pgknowbase_tune``: measure the recall and the ranking of searches, and save better parameters."""

from argparse import ArgumentTypeError
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

from pgknowbase.conf import get_settings
from pgknowbase.core.command_line import command_line
from pgknowbase.core.commands import (
    ActionCommand,
    add_database,
    add_format,
    as_json,
    as_table,
    database_alias,
    fraction,
    positive,
    progress_bar,
)
from pgknowbase.embeddings.base import Vector
from pgknowbase.models import RecallMeasurement
from pgknowbase.operations.recall import (
    ALL_MODELS,
    MAX_EF_SEARCH,
    RecallBenchmark,
    RecallError,
    SearchCase,
    active_space_or_raise,
    current_ef_search,
    embed_queries,
    sample_queries,
    save_ef_search,
    search_cases,
)
from pgknowbase.operations.relevance.judgements import read_judgements, read_queries
from pgknowbase.operations.relevance.reranking import RerankGain, RerankTrial, named_reranker, save_rule
from pgknowbase.operations.relevance.weights import Fit, WeightFitter, current_weight, save_weight
from pgknowbase.search.external import SEARCH_MODES, SearchMode
from pgknowbase.search.filters import Options
from pgknowbase.sources.registry import source_by_label, sources

COLUMNS = (
    "model", "filter", "selectivity", "passing", "queries", "max_hits", "ef_search", "recall", "milliseconds",
    "exact_milliseconds", "target", "needed",
)  # fmt: skip
HISTORY_ROWS = 50
SELECTIVITIES = (1.0, 0.5, 0.1, 0.01, 0.001)

Scope = tuple[str, tuple[int, ...] | None]  # a label, and the content types of its objects; None: all


class Command(ActionCommand):
    help = "Measure how well searches find and rank, and save parameters that do better for the active space."

    def add_arguments(self, parser: CommandParser) -> None:
        self.actions = parser.add_subparsers(metavar="ACTION", required=True)
        self._add_weight()
        self._add_rerank()
        self._add_recall()

    def _add_weight(self) -> None:
        weight = self.add_action(
            "weight",
            self.handle_weight,
            "Find the weight of the semantic score in hybrid search that ranks labelled queries best.",
        )
        weight.add_argument("queries", help="text file: BEIR's JSON lines, or one query per line")
        weight.add_argument("judgements", help="BEIR's qrels: query-id, corpus-id, score, separated by tabs")
        weight.add_argument("models", nargs="*", metavar="app.Model", help="default: all source models together")
        weight.add_argument(
            "--save",
            action="store_true",
            help="let searches use the weight, from now on; refused (exit 1) unless it ranks held-out queries better"
            " than the weight in use",
        )
        add_format(weight)
        add_database(weight)

    def _add_rerank(self) -> None:
        rerank = self.add_action(
            "rerank",
            self.handle_rerank,
            "Measure what a second stage gains over the first on labelled queries, by language, and let searches use it"
            " where it does.",
        )
        rerank.add_argument("queries", help="text file: BEIR's JSON lines, or one query per line")
        rerank.add_argument("judgements", help="BEIR's qrels: query-id, corpus-id, score, separated by tabs")
        rerank.add_argument(
            "models", nargs="*", metavar="app.Model", help="searches of exactly these; default: of all source models"
        )
        rerank.add_argument("--reranker", metavar="NAME", help="entry of RERANKERS; default: the only one")
        rerank.add_argument("--mode", choices=SEARCH_MODES, default="hybrid", help="mode of the searches, %(default)s")
        rerank.add_argument(
            "--save",
            action="store_true",
            help="let searches use it for the languages in which it gains, from now on; refused (exit 1), and what was"
            " saved before taken back, where it does not rank held-out queries better",
        )
        add_format(rerank)
        add_database(rerank)

    def _add_recall(self) -> None:
        recall = self.add_action(
            "recall",
            self.handle_recall,
            "Compare searches by the vector index with exact ones, per source model and filter, and find the smallest"
            " hnsw.ef_search that reaches a target recall.",
        )
        recall.add_argument("models", nargs="*", metavar="app.Model", help="default: each, and all together")
        recall.add_argument(
            "--queries", type=positive, default=100, metavar="N", help="number of sampled queries, %(default)s"
        )
        recall.add_argument(
            "--queries-file",
            type=Path,
            metavar="PATH",
            help="search texts instead, one per line, embedded by the backend",
        )
        recall.add_argument("--limit", type=positive, default=10, help="hits of each query, %(default)s")
        recall.add_argument("--target", type=fraction, default=0.99, help="recall to reach, %(default)s")
        recall.add_argument(
            "--selectivity",
            type=_fractions,
            default=SELECTIVITIES,
            help="shares of the objects that filters let pass, such as '1,0.5,0.1,0.01'",
        )
        recall.add_argument(
            "--exact-search-max-chunks",
            type=int,
            metavar="N",
            help="instead of EXACT_SEARCH_MAX_CHUNKS; 0 measures the vector index in a small store too",
        )
        recall.add_argument("--seed", type=int, default=0, help="seed of the sample, %(default)s")
        recall.add_argument(
            "--save",
            action="store_true",
            help="let searches use the largest 'needed', from now on; exit 1 if a case cannot reach the target",
        )
        recall.add_argument("--history", action="store_true", help="the latest 50 measurements instead of a new one")
        add_format(recall)
        add_database(recall)

    # weight

    def handle_weight(
        self,
        *,
        queries: str,
        judgements: str,
        models: Sequence[str],
        save: bool,
        format: str,
        database: str | None,
        verbosity: int,
        **options: Any,
    ) -> None:
        """Fit the weight, and save it if it ranks queries better that it was not fitted on."""
        using, configured = database_alias(database), get_settings().search.dense_weight
        if save and configured is not None:
            raise CommandError(
                f"SEARCH['DENSE_WEIGHT'] is {configured!r} and overrides what is saved: remove it from the settings."
            )
        among = [source_by_label(label).model for label in models] or None
        fitter = WeightFitter(using, read_queries(queries), read_judgements(judgements), among)
        fit = fitter.fit(current_weight(using), lambda ids: progress_bar(ids, unit="queries", hidden=not verbosity))
        self.stdout.write(as_json(fit.as_dict()) if format == "json" else _weight_table(fit))
        if save:
            self._save_weight(using, fit)

    def _save_weight(self, using: str, fit: Fit) -> None:
        if not fit.is_better:
            raise CommandError(
                f"The weight {fit.weight} does not rank held-out queries better than {fit.weight_now}: nothing was"
                " saved. Judge more queries."
            )
        space = save_weight(using, fit.weight)
        self.stderr.write(f"Hybrid searches in the space {space.name!r} use the dense weight {fit.weight} from now on.")

    # rerank

    def handle_rerank(
        self,
        *,
        queries: str,
        judgements: str,
        models: Sequence[str],
        reranker: str | None,
        mode: SearchMode,
        save: bool,
        format: str,
        database: str | None,
        verbosity: int,
        **options: Any,
    ) -> None:
        """Measure a second stage, and save in which languages it gains."""
        using = database_alias(database)
        among = [source_by_label(label) for label in models]
        trial = RerankTrial(
            using, named_reranker(reranker), read_queries(queries), read_judgements(judgements), mode,
            [source.model for source in among] or None,
        )  # fmt: skip
        gain = trial.run(lambda ids: progress_bar(ids, unit="queries", hidden=not verbosity))
        self.stdout.write(as_json(gain.as_dict()) if format == "json" else _rerank_table(gain))
        if not save:
            return
        space = save_rule(using, gain, [source.label for source in among])
        if not gain.is_better:
            raise CommandError(
                f"The second stage {gain.reranker!r} does not rank held-out queries better: searches do without it."
                " Judge more queries, or try another model."
            )
        self.stderr.write(
            f"{mode.capitalize()} searches in the space {space.name!r} have the second stage {gain.reranker!r} from now"
            f" on, for queries of: {', '.join(gain.chosen)}."
        )

    # recall

    def handle_recall(self, *, history: bool, save: bool, format: str, database: str | None, **options: Any) -> None:
        """Measure, store the measurements, and save the largest ``ef_search`` that a case needs."""
        using = database_alias(database)
        if history:
            earlier = list(RecallMeasurement.objects.using(using)[:HISTORY_ROWS])
            self._write_measurements(earlier, format, ("measured_at", "space", *COLUMNS))
            return
        Options(limit=options["limit"])  # raises SearchError for a limit that no search accepts
        measured = list(self._measure(using, **options))
        if not measured:
            worker = command_line("pgknowbase_worker", using)
            raise CommandError(f"Nothing is indexed that could be searched: let {worker!r} run.")
        self._write_measurements(RecallMeasurement.objects.using(using).bulk_create(measured), format, COLUMNS)
        if save:
            space = save_ef_search(using, _largest_needed(measured))
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
        exact_search_max_chunks: int | None,
        verbosity: int,
        **options: Any,
    ) -> Iterator[RecallMeasurement]:
        space = active_space_or_raise(using)
        exact = get_settings().search.exact_search_max_chunks
        if exact_search_max_chunks is not None:
            exact = exact_search_max_chunks
        todo = list(self._cases(using, models, selectivity, options))
        for case, queries in progress_bar(todo, unit="cases", hidden=not verbosity):
            benchmark = RecallBenchmark(using, case, queries, limit, exact)
            now = benchmark.measure(current_ef_search(using, limit=limit, filtered=bool(case.filter)))
            needed = benchmark.smallest_reaching(target)
            yield RecallMeasurement(
                space=space.name, model=case.model, filter=case.filter, selectivity=case.selectivity,
                passing=case.passing, queries=len(queries), max_hits=limit, ef_search=now.ef_search, recall=now.recall,
                milliseconds=now.milliseconds, exact_milliseconds=benchmark.exact[1], target=target,
                needed=needed.ef_search if needed else None,
            )  # fmt: skip

    def _cases(
        self, using: str, models: Sequence[str], shares: Sequence[float], options: dict[str, Any]
    ) -> Iterator[tuple[SearchCase, list[Vector]]]:
        texts = _read_texts(options["queries_file"])
        for label, content_types in _scopes(using, models):
            if texts is None:
                queries = sample_queries(using, content_types, options["queries"], options["seed"])
            else:
                queries = embed_queries(texts)
            if not queries:
                continue
            cases, missing = search_cases(using, label, content_types, shares)
            for case in cases:
                yield case, queries
            if missing:
                shown = ", ".join(map(str, missing))
                self.stderr.write(f"{label}: no metadata entry or tag lets about {shown} of the objects pass.")

    def _write_measurements(self, measured: Sequence[RecallMeasurement], format: str, columns: Sequence[str]) -> None:
        rows = [{name: getattr(one, name) for name in columns} for one in measured]
        if format == "json":
            self.stdout.write(as_json(rows))
            return
        for row in rows:
            row |= {name: round(row[name], 4) for name in ("selectivity", "recall")}
            row |= {name: round(row[name], 2) for name in ("milliseconds", "exact_milliseconds")}
            row["needed"] = row["needed"] or f"more than {MAX_EF_SEARCH}"
        self.stdout.write(
            as_table(columns, [list(row.values()) for row in rows]) if rows else "Nothing was measured yet."
        )


def _weight_table(fit: Fit) -> str:
    rows: list[tuple[str, float | None, float]] = [
        ("keyword_search", None, fit.keyword),
        ("semantic_search", None, fit.semantic),
        ("hybrid_search, now", fit.weight_now, fit.now),
        ("hybrid_search, fitted", fit.weight, fit.fitted),
        ("the same, on held-out queries", None, fit.held_out),
    ]
    searches = as_table(
        ["search", "weight", "ndcg@10"], [[name, weight, round(score, 4)] for name, weight, score in rows]
    )
    curve = as_table(["weight", "ndcg@10"], [[weight, round(score, 4)] for weight, score in fit.curve.items()])
    return f"{searches}\n\n{curve}\n\n{fit.queries} queries."


def _rerank_table(gain: RerankGain) -> str:
    rows = [
        [each.language, each.queries, round(each.without, 4), round(each.reranked, 4), "yes" if each.gains else "no"]
        for each in gain.languages
    ]
    languages = as_table(["language", "queries", "ndcg@10 without", "with", "gains"], rows)
    return (
        f"{languages}\n\n{gain.queries} queries: {gain.without:.4f} without, {gain.reranked:.4f} with the second stage"
        f" {gain.reranker!r} ({gain.model}) for all of them, {gain.held_out:.4f} for held-out ones of the languages in"
        f" which it gains. It left {gain.unanswered} in their first order, late or failed."
    )


def _scopes(using: str, models: Sequence[str]) -> list[Scope]:
    chosen = [source_by_label(label) for label in models] or sources()
    scopes: list[Scope] = [(source.label, (source.content_type_id(using),)) for source in chosen]
    return scopes if models else [(ALL_MODELS, None), *scopes]


def _largest_needed(measured: Sequence[RecallMeasurement]) -> int:
    for one in measured:
        if one.needed is None:
            raise RecallError(
                f"{one} with hnsw.ef_search = {MAX_EF_SEARCH} does not reach {one.target}: nothing was saved. Lower"
                " --target, or raise EXACT_SEARCH_MAX_CHUNKS."
            )
    return max(one.needed or 0 for one in measured)


def _read_texts(path: Path | None) -> list[str] | None:
    if path is None:
        return None
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(
            f"The file of queries {str(path)!r} cannot be read ({error}): name a UTF-8 text file."
        ) from error


def _fractions(text: str) -> tuple[float, ...]:
    try:
        return tuple(sorted({fraction(part) for part in text.split(",")}, reverse=True))
    except ArgumentTypeError as error:
        raise ArgumentTypeError(f"{error}: write such as 1,0.1,0.01") from error
