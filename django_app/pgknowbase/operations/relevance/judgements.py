"""Labelled queries: their texts, the relevance grades of objects, and nDCG of a ranking. The files are BEIR's."""

import csv
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from pgknowbase.errors import PgKnowbaseError

DEPTH = 10  # nDCG@10, as BEIR reports it
MIN_QUERIES = 20

ObjectRef = tuple[str, str]  # label of the source model, object key
Rankings = Mapping[str, Sequence[ObjectRef]]  # objects by query id, best first
Judgements = Mapping[str, Mapping[str, float]]  # grades by query id and object


class JudgementError(PgKnowbaseError):
    """A file of queries or judgements cannot be used."""


def ndcg(found: Sequence[float], judged: Iterable[float], depth: int = DEPTH) -> float:
    """nDCG in [0, 1], with the grade as gain and log2(rank + 1) as discount, as trec_eval and BEIR compute it.

    Args:
        found: grades of the hits, best first.
        judged: all grades of the query; the ideal ranking sorts them.
    """
    best = _dcg(sorted(judged, reverse=True)[:depth])
    return _dcg(found[:depth]) / best if best else 0.0


def read_queries(path: str) -> dict[str, str]:
    """Query texts by id, from BEIR's JSON lines (``_id``, ``text``) or from lines of text, whose ids are their numbers.

    Raises:
        JudgementError: the file cannot be read, or contains no query.
    """
    lines = [line for line in _text(path).splitlines() if line.strip()]
    try:
        if lines and lines[0].lstrip().startswith("{"):
            rows = [json.loads(line) for line in lines]
            queries = {str(row["_id"]): str(row["text"]) for row in rows}
        else:
            queries = {str(number): line.strip() for number, line in enumerate(lines, 1)}
    except (ValueError, KeyError, TypeError) as error:
        raise JudgementError(
            f"{path!r} has a line that is not a query ({error!r}): write '_id' and 'text' in each."
        ) from error
    if not queries:
        raise JudgementError(f"{path!r} contains no query: write one per line.")
    return queries


def read_judgements(path: str) -> Judgements:
    """Grades from BEIR's qrels: query-id, corpus-id and score, separated by tabs, with a heading line.

    A corpus-id is an object key, or ``app.model:key``.

    Raises:
        JudgementError: the file cannot be read, or a line has another form.
    """
    judged: dict[str, dict[str, float]] = {}
    for number, row in enumerate(csv.reader(_text(path).splitlines(), delimiter="\t"), 1):
        try:
            query, document, score = row
            judged.setdefault(query, {})[document] = float(score)
        except ValueError as error:
            if number == 1:  # the heading
                continue
            raise JudgementError(
                f"Line {number} of {path!r} is not a judgement ({error}): write query-id, corpus-id and score,"
                " separated by tabs."
            ) from error
    return judged


def is_judged(judgements: Judgements, query: str) -> bool:
    """Whether any object is known to be relevant to the query."""
    return any(grade > 0 for grade in judgements.get(query, {}).values())


def judged_queries(queries: Sequence[str], judgements: Judgements) -> list[str]:
    """The ids of the queries with a relevant object.

    Raises:
        JudgementError: fewer than ``MIN_QUERIES`` have one.
    """
    judged = [query for query in queries if is_judged(judgements, query)]
    if len(judged) < MIN_QUERIES:
        raise JudgementError(
            f"{len(judged)} of {len(queries)} queries have a relevant row: judge at least {MIN_QUERIES}."
        )
    return judged


def grades(judged: Mapping[str, float], hits: Sequence[ObjectRef]) -> list[float]:
    """The grades of hits, best first; 0 for an object without a judgement."""
    return [judged.get(key, judged.get(f"{label}:{key}", 0.0)) for label, key in hits]


def _dcg(found: Sequence[float]) -> float:
    return sum(grade / math.log2(rank + 1) for rank, grade in enumerate(found, 1))


def _text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise JudgementError(f"{path!r} cannot be read ({error}): name a text file.") from error
