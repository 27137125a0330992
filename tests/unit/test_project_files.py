"""The files of the hosts' own formats are valid, and agree with what the project says it supports."""

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from pgknowbase.core.migration_operations import MINIMUM_POSTGRES

ROOT = Path(__file__).parents[2]
FORMS = sorted(path for path in (ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml") if path.name != "config.yml")
WORKFLOW = ROOT / ".github" / "workflows" / "ci.yml"
GITLAB = ROOT / ".gitlab-ci.yml"


@pytest.mark.parametrize(
    ("schema", "path"),
    [
        ("github-workflows", WORKFLOW),
        ("gitlab-ci", GITLAB),
        ("github-issue-config", ROOT / ".github" / "ISSUE_TEMPLATE" / "config.yml"),
        *[("github-issue-forms", path) for path in FORMS],
    ],
    ids=str,
)
def test_file_obeys_its_schema(schema, path):
    program = Path(sys.executable).parent / "check-jsonschema"
    done = subprocess.run([program, "--builtin-schema", f"vendor.{schema}", path], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_both_hosts_test_what_is_supported():
    classifiers = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["classifiers"]
    pythons = [
        line.rpartition(" ")[2] for line in classifiers if line.startswith("Programming Language :: Python :: 3.")
    ]
    djangos = [line.rpartition(" ")[2] for line in classifiers if line.startswith("Framework :: Django :: ")]
    supported = {(python, django) for python in pythons for django in djangos} - {("3.11", "6.0"), ("3.11", "6.1")}

    matrix = yaml.safe_load(WORKFLOW.read_text())["jobs"]["matrix"]["strategy"]["matrix"]
    excluded = {(pair["python"], pair["django"]) for pair in matrix["exclude"]}
    assert {(python, django) for python in matrix["python"] for django in matrix["django"]} - excluded == supported

    jobs = yaml.safe_load(GITLAB.read_text())
    parts = {job["variables"]["DJANGO"]: job["parallel"]["matrix"][0] for job in jobs.values() if "parallel" in job}
    assert {(python, django) for django, part in parts.items() for python in part["PYTHON_VERSION"]} == supported

    servers = [matrix["postgres"], *(part["POSTGRES"] for part in parts.values())]
    assert servers == [servers[0]] * len(servers)
    assert min(map(int, servers[0])) == MINIMUM_POSTGRES // 10_000


def test_both_hosts_run_what_is_there():
    targets = (ROOT / "Makefile").read_text()
    steps = [
        step["run"]
        for job in yaml.safe_load(WORKFLOW.read_text())["jobs"].values()
        for step in job["steps"]
        if "run" in step
    ]
    lines = [line for job in yaml.safe_load(GITLAB.read_text()).values() for line in job.get("script", [])]
    assert set(steps) == set(lines)
    for line in steps:
        program, *arguments = line.split()
        if program == "make":
            assert all(f"\n{target}: " in targets for target in arguments)
        else:
            assert shutil.which(ROOT / program), program


def test_pre_commit_runs_what_is_there():
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    (local,) = (repository["hooks"] for repository in hooks if repository["repo"] == "local")
    assert [hook["entry"].split()[0] for hook in local] == [".venv/bin/ruff", ".venv/bin/ruff", "make"]
    assert all(repository["rev"] for repository in hooks if repository["repo"] != "local")
