"""The benchmarks run; how fast is not for a test to say."""

import json
import math
import os
from pathlib import Path

import pytest

from benchmarks.quality import scored
from tests import processes

ROOT = Path(__file__).parents[2]


def run(*arguments, module="benchmarks"):
    return processes.run("-W", "ignore", "-m", module, *arguments, env=os.environ, cwd=ROOT)


def test_quick_run_writes_table_and_json(tmp_path):
    done = run("--quick", "--json", str(tmp_path / "out.json"), "lag", "relay")
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "out.json").read_text())
    assert {one["benchmark"] for one in found["figures"]} == {"lag", "relay"}
    assert all(one["value"] > 0 and one["low"] <= one["value"] <= one["high"] for one in found["figures"])
    assert found["machine"]["fsync"] == "on"
    assert "commit to searchable" in done.stdout


def test_searches_are_measured_beside_exact_ones_and_drawn(tmp_path):
    done = run("--quick", "--sizes", "300,600", "--json", str(tmp_path / "out.json"), "vectors")
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "out.json").read_text())["figures"]
    recalls = {(one["case"], one["rows"]): one["more"].get("recall@10") for one in found if one["unit"] == "ms"}
    for rows in (300, 600):
        for case in ("plain", "filter passing 50 %", "filter passing 10 %, exact", "keyword", "hybrid"):
            assert recalls[case, rows] == 1, case
    assert {one["rows"] for one in found if one["unit"] == "bytes/chunk" and one["value"] > 0} == {300, 600}
    assert (tmp_path / "out.png").read_bytes().startswith(b"\x89PNG")


def test_sizes_that_are_none_are_refused():
    done = run("--sizes", "10,many", "vectors")
    assert done.returncode == 2
    assert "'10,many' is not a list of sizes" in done.stderr


def test_unknown_name_is_refused():
    done = run("speed")
    assert done.returncode == 2
    assert "'speed' is not a benchmark: use vectors" in done.stderr


def test_quality_of_a_labelled_set(tmp_path):
    animals = {"z": "a zebra with stripes", "l": "a lion with a mane", "t": "a toad in a pond"}
    folder = tmp_path / "animals"
    folder.mkdir()
    lines = [json.dumps({"_id": key, "title": key, "text": text}) for key, text in animals.items()]
    (folder / "corpus.jsonl").write_text("\n".join(lines))
    queries = {"1": "zebra", "2": "mane", "3": "nobody asks"}
    (folder / "queries.jsonl").write_text("\n".join(json.dumps({"_id": k, "text": v}) for k, v in queries.items()))
    (folder / "qrels.tsv").write_text("query-id\tcorpus-id\tscore\n1\tz\t1\n2\tl\t1\n2\tt\t1\n3\tz\t0\n")
    done = run(str(tmp_path), "--model", "static", module="benchmarks.quality")
    assert done.returncode == 0, done.stderr
    # Of the second query's two documents, words find one: 1 / (1 + 1 / log2(3)) of the ideal.
    assert "| animals | 3 | 2 | keyword | 0.807 | 1.000 | 0.750 |" in done.stdout
    assert "| animals | 3 | 2 | semantic |" in done.stdout
    assert "| animals | 3 | 2 | hybrid |" in done.stdout


def test_quality_needs_a_set(tmp_path):
    done = run(str(tmp_path), module="benchmarks.quality")
    assert done.returncode == 2
    assert "holds no set" in done.stderr


def test_scores_of_a_ranking():
    score = scored({"a": ["x", "y", "z"], "b": ["q"]}, {"a": {"y": 2, "w": 1}, "b": {"q": 1}})
    ideal = 2 + 1 / math.log2(3)
    assert score.ndcg_at_10 == pytest.approx((2 / math.log2(3) / ideal + 1) / 2)
    assert (score.mrr_at_10, score.recall_at_100) == (0.75, 0.75)
