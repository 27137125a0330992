"""``python -m benchmarks.quality FOLDER``: how well searches rank, on labelled sets in BEIR's layout.

Each folder below FOLDER with corpus.jsonl, queries.jsonl and qrels.tsv is a set. Its documents become rows of a Django
model, a worker brings them into the index, and the managers search it. ``--typos``: the same with a typo in a random
word of each query, and with ``correct_typos``, of queries with typos and of those without.
"""

import argparse
import csv
import json
import math
import os
import random
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean

from benchmarks.database import bench_database

DEPTH = 100
# nDCG@10 of bm25s (k1 1.5, b 0.75, stemmer and stop words of the language) and of all-MiniLM-L6-v2 cut at 256 tokens.
REFERENCE = {
    "scifact": (0.686, 0.645),
    "cranfield": (0.519, 0.509),
    "medline": (0.696, 0.788),
    "cacm": (0.494, 0.409),
    "xquad-en": (0.965, 0.943),
    "xquad-de": (0.936, 0.704),
    "xquad-ar": (0.932, 0.038),
    "xquad-zh": (0.107, 0.243),
}
MODELS = ("minilm", "e5", "static")


@dataclass(frozen=True)
class Labelled:
    """One set: documents as (id, title, text), queries as (id, text), and the gain of documents by query."""

    name: str
    documents: list[tuple[str, str, str]]
    queries: list[tuple[str, str]]
    gains: dict[str, dict[str, int]]


@dataclass(frozen=True)
class Score:
    """Means over the queries of a set."""

    ndcg_at_10: float
    mrr_at_10: float
    recall_at_100: float


def main(arguments: list[str]) -> int:
    options = _parser().parse_args(arguments)
    folders = sorted(path.parent for path in options.folder.glob("*/qrels.tsv"))
    if options.only:
        folders = [folder for folder in folders if folder.name in options.only]
    if not folders:
        print(f"{str(options.folder)!r} holds no set: point at a folder of folders with qrels.tsv.", file=sys.stderr)
        return 2
    os.environ["PGKNOWBASE_BENCH_MODEL"] = options.model
    if options.whole:
        os.environ["PGKNOWBASE_BENCH_CHUNK_SIZE"] = "100000"
    if os.geteuid() == 0:
        os.environ.setdefault("XDG_RUNTIME_DIR", "/tmp")
    with bench_database() as database:
        from benchmarks.__main__ import _close, _prepare

        _prepare(database)
        print(f"{options.model}, {'one chunk per document' if options.whole else 'default chunks'}")
        print("| set | documents | queries | search | nDCG@10 | MRR@10 | recall@100 | reference nDCG@10 |")
        print("|---|---|---|---|---|---|---|---|", flush=True)
        for folder in folders:
            labelled = load(folder, options.queries)
            if options.documents:
                other = load(options.folder / options.documents)
                labelled = replace(labelled, name=f"{labelled.name} over {other.name}", documents=other.documents)
            for line in _lines(labelled, typos=options.typos):
                print(line, flush=True)
        _close()
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quality", description="Rank labelled sets.")
    parser.add_argument("folder", type=Path, help="a folder of sets in BEIR's layout")
    parser.add_argument("only", nargs="*", help="names of sets; default: all")
    parser.add_argument("--model", choices=MODELS, default="minilm", help="which local embedding model")
    parser.add_argument("--whole", action="store_true", help="one chunk per document, cut where the model ends")
    parser.add_argument("--documents", metavar="NAME", help="search the documents of this set, parallel by id, instead")
    parser.add_argument("--queries", type=int, metavar="N", help="at most N queries of a set, evenly chosen")
    parser.add_argument("--typos", action="store_true", help="search with a typo in a random word of each query, too")
    return parser


def load(folder: Path, most_queries: int | None = None) -> Labelled:
    """Read one set; queries without a relevant document are left out."""
    documents = [(row["_id"], row.get("title") or "", row["text"]) for row in _rows(folder / "corpus.jsonl")]
    gains: dict[str, dict[str, int]] = {}
    with (folder / "qrels.tsv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            if int(row["score"]) > 0:
                gains.setdefault(row["query-id"], {})[row["corpus-id"]] = int(row["score"])
    queries = [(row["_id"], row["text"]) for row in _rows(folder / "queries.jsonl") if row["_id"] in gains]
    if most_queries:
        queries = queries[:: math.ceil(len(queries) / most_queries)]
    return Labelled(folder.name, documents, queries, gains)


def _rows(path: Path) -> Iterator[dict[str, str]]:
    with path.open(encoding="utf-8") as lines:
        yield from map(json.loads, lines)


def with_typo(text: str, seed: str) -> str:
    """``text`` with one random edit in one random word of three letters or more: a letter too few, too many, another,
    or two in the wrong order. The same for each call.

    >>> with_typo("how do triggers work", "12")
    'how do tirggers work'
    """
    chance = random.Random(seed)
    words = list(re.finditer(r"[^\W\d_]{3,}", text))
    if not words:
        return text
    word = chance.choice(words)
    letters, place = list(word[0]), chance.randrange(len(word[0]))
    other = chance.choice([letter for letter in text if letter.isalpha()])
    match chance.choice(["too few", "too many", "another", "wrong order"]):
        case "too few":
            del letters[place]
        case "too many":
            letters.insert(place, other)
        case "another":
            letters[place] = other
        case "wrong order":
            place = min(place, len(letters) - 2)
            letters[place : place + 2] = reversed(letters[place : place + 2])
    return text[: word.start()] + "".join(letters) + text[word.end() :]


def _lines(labelled: Labelled, *, typos: bool) -> Iterator[str]:
    from benchmarks.catalog.models import Passage
    from pgknowbase.worker import Worker

    rows = [Passage(name=name, title=title, text=text) for name, title, text in labelled.documents]
    if sorted(Passage.objects.values_list("name", "text")) != sorted((row.name, row.text) for row in rows):
        Passage.objects.all().delete()
        Passage.objects.bulk_create(rows, batch_size=1000)
        Worker().run_until_idle()
    bm25s, minilm = REFERENCE.get(labelled.name, (None, None))
    searches: dict[str, tuple[Callable[[str], Sequence[Passage]], float | None]] = {
        "keyword": (lambda text: Passage.objects.keyword_search(text, limit=DEPTH), bm25s),
        "semantic": (lambda text: Passage.objects.semantic_search(text, limit=DEPTH, threshold=-1), minilm),
        "hybrid": (lambda text: Passage.objects.hybrid_search(text, limit=DEPTH, threshold=-1), None),
    }
    sizes = f"{len(labelled.documents):,} | {len(labelled.queries):,}"
    if typos:
        objects = Passage.objects
        corrected: dict[str, Callable[[str], Sequence[Passage]]] = {
            "keyword": lambda text: objects.keyword_search(text, limit=DEPTH, correct_typos=True),
            "semantic": lambda text: objects.semantic_search(text, limit=DEPTH, threshold=-1, correct_typos=True),
            "hybrid": lambda text: objects.hybrid_search(text, limit=DEPTH, threshold=-1, correct_typos=True),
        }
        searches |= {
            f"{name}, typos": (lambda text, search=search: search(with_typo(text, text)), None)
            for name, (search, _) in searches.items()
        }
        searches |= {
            f"{name}, typos corrected": (lambda text, search=search: search(with_typo(text, text)), None)
            for name, search in corrected.items()
        }
        searches["keyword, no typos corrected"] = (corrected["keyword"], None)
    for name, (search, reference) in searches.items():
        found = {key: [row.name for row in search(text)] for key, text in labelled.queries}
        score = scored(found, labelled.gains)
        figures = f"{score.ndcg_at_10:.3f} | {score.mrr_at_10:.3f} | {score.recall_at_100:.3f}"
        yield f"| {labelled.name} | {sizes} | {name} | {figures} | {'' if reference is None else f'{reference:.3f}'} |"


def scored(found: dict[str, list[str]], gains: dict[str, dict[str, int]]) -> Score:
    """Of the ids found for each query, best first; nDCG with linear gain, as trec_eval computes it."""
    pairs = [(keys, gains[query]) for query, keys in found.items()]
    ndcg = [_dcg([known.get(key, 0) for key in keys]) / _dcg(_ideal(known)) for keys, known in pairs]
    mrr = [next((1 / n for n, key in enumerate(keys[:10], 1) if key in known), 0.0) for keys, known in pairs]
    recall = [len(known.keys() & set(keys[:DEPTH])) / len(known) for keys, known in pairs]
    return Score(mean(ndcg), mean(mrr), mean(recall))


def _ideal(gains: dict[str, int]) -> list[int]:
    return sorted(gains.values(), reverse=True)


def _dcg(gains: Sequence[int]) -> float:
    return sum(gain / math.log2(place + 1) for place, gain in enumerate(gains[:10], 1))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
