"""Labelled queries: what was asked, which rows answer it how well, and the score of a ranking against them."""

import csv
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from pgknowbase.errors import PgKnowbaseError

DEPTH = 10

Judgements = Mapping[str, Mapping[str, float]]  # grade by query and object
Hits = Mapping[str, Sequence[tuple[str, str]]]  # by query: source model and object key, best first


class JudgementError(PgKnowbaseError):
    """A file of queries or judgements cannot be used."""


def ndcg(found: Sequence[float], judged: Iterable[float], depth: int = DEPTH) -> float:
    """nDCG of the grades found, best first, against all grades judged: gain grade, discount log2(rank + 1), as BEIR."""
    best = _dcg(sorted(judged, reverse=True)[:depth])
    return _dcg(found[:depth]) / best if best else 0.0


def read_queries(path: str) -> dict[str, str]:
    """Queries by id: BEIR's JSON lines (``_id``, ``text``), or one query per line, whose id is its number.

    Raises:
        JudgementError: the file cannot be read, or holds no query.
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
            f"{path!r} has a line that is no query ({error!r}): write '_id' and 'text' in each."
        ) from error
    if not queries:
        raise JudgementError(f"{path!r} holds no query: write one per line.")
    return queries


def read_judgements(path: str) -> Judgements:
    """Grades by query id and object from BEIR's qrels: query-id, corpus-id, score, separated by tabs, with a heading.

    The corpus-id is the object key, or 'app.model:key'.

    Raises:
        JudgementError: the file cannot be read, or is no such table.
    """
    judged: dict[str, dict[str, float]] = {}
    for number, row in enumerate(csv.reader(_text(path).splitlines(), delimiter="\t"), 1):
        try:
            query, document, score = row
            judged.setdefault(query, {})[document] = float(score)
        except ValueError as error:
            if number == 1:
                continue
            raise JudgementError(
                f"Line {number} of {path!r} is no judgement ({error}): write query-id, corpus-id and score, separated"
                " by tabs."
            ) from error
    return judged


def is_judged(judgements: Judgements, query: str) -> bool:
    """Whether a row is known that answers the query."""
    return any(grade > 0 for grade in judgements.get(query, {}).values())


def grades(judged: Mapping[str, float], hits: Sequence[tuple[str, str]]) -> list[float]:
    """The grades of what was found, best first; 0 where there is no judgement."""
    return [judged.get(key, judged.get(f"{label}:{key}", 0.0)) for label, key in hits]


def _dcg(found: Sequence[float]) -> float:
    return sum(grade / math.log2(rank + 1) for rank, grade in enumerate(found, 1))


def _text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise JudgementError(f"{path!r} cannot be read ({error}): name a text file.") from error
