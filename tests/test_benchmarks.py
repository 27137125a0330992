"""The benchmarks run; how fast is not for a test to say."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def run(*arguments):
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "benchmarks", *arguments], cwd=ROOT, capture_output=True, text=True
    )


def test_quick_run_writes_table_and_json(tmp_path):
    done = run("--quick", "--json", str(tmp_path / "out.json"), "lag", "relay")
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "out.json").read_text())
    assert {one["benchmark"] for one in found["figures"]} == {"lag", "relay"}
    assert all(one["value"] > 0 and one["low"] <= one["value"] <= one["high"] for one in found["figures"])
    assert found["machine"]["fsync"] == "on"
    assert "commit to searchable" in done.stdout


def test_unknown_name_is_refused():
    done = run("speed")
    assert done.returncode == 2
    assert "'speed' is no benchmark: use vectors" in done.stderr
