"""The npm package: its types are those of the document, it packs, and it works under Node against a live server."""

import json
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from pgknowbase import __version__
from pgknowbase.testing import ChatProvider, ToolCall
from pgknowbase.testing.chat import repeat_last_message
from tests.integration.api.conftest import token_of
from tests.node import ROOT, needs_node, node, packages

SHIPPED = ROOT / "django_app" / "pgknowbase" / "api" / "typescript"


@pytest.fixture(scope="module")
def package():
    """A copy of the package's folder, where npm's packages are found."""
    with tempfile.TemporaryDirectory(dir=packages()) as parent:
        yield Path(shutil.copytree(SHIPPED, Path(parent) / "package"))


def run(folder, *command):
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def program(package):
    """usage.ts, compiled against the package as ``npm pack`` gives it to others."""
    archive = package / json.loads(run(package, "npm", "pack", "--json", "--silent"))[0]["filename"]
    consumer = package.parent / "consumer"
    (consumer / "node_modules").mkdir(parents=True)
    with tarfile.open(archive) as packed:
        packed.extractall(consumer / "node_modules", filter="data")
    (consumer / "node_modules" / "package").rename(consumer / "node_modules" / "pgknowbase")
    shutil.copy(Path(__file__).with_name("usage.ts"), consumer)
    (consumer / "package.json").write_text('{"type": "module"}')
    options = json.loads((package / "tsconfig.json").read_text())["compilerOptions"]
    options |= {"rootDir": ".", "outDir": ".", "declaration": False}
    (consumer / "tsconfig.json").write_text(json.dumps({"compilerOptions": options, "files": ["usage.ts"]}))
    run(consumer, "node", packages() / "node_modules" / "typescript" / "bin" / "tsc")
    return consumer


@needs_node
def test_types_are_those_of_the_document(package):
    call_command("pgknowbase_openapi", "--prefix", "/", "--output", package / "openapi.json")
    committed = (package / "src" / "schema.ts").read_text()
    run(package, "npm", "run", "generate")
    assert committed == (package / "src" / "schema.ts").read_text(), "stale: run `make typescript`"


def test_version_is_that_of_the_library():
    assert json.loads((SHIPPED / "package.json").read_text())["version"] == __version__


def test_document_is_exported(capsys):
    call_command("pgknowbase_openapi", "--prefix", "v1/kb")
    document = json.loads(capsys.readouterr().out)
    assert document["openapi"].startswith("3.1")
    assert "/v1/kb/knowledge/search/" in document["paths"]
    path, header = document["paths"]["/v1/kb/orchestrator/ai-agents/{agent_name}/run/"]["post"]["parameters"]
    assert (path["name"], header["in"], header["name"]) == ("agent_name", "header", "Idempotency-Key")
    assert document["paths"]["/v1/kb/knowledge/search/"]["post"]["security"][-1] == {}
    assert {} not in document["paths"]["/v1/kb/knowledge/status/"]["get"]["security"]
    with pytest.raises(CommandError, match="cannot be written"):
        call_command("pgknowbase_openapi", "--output", Path("/nowhere/at/all.json"))


def answer(body):
    said = repeat_last_message(body)
    return ToolCall("nothing") if said == "fail" else "It is near 0.9 [1]."


@needs_node
@pytest.mark.django_db(transaction=True)
def test_client_works(program, library, users, live_server, settings):
    with ChatProvider(answer=answer) as model:
        agents = {"PROVIDERS": {"local": model.settings()}, "MODEL": "local:any"}
        settings.PGKNOWBASE = {**settings.PGKNOWBASE, "AGENTS": agents}
        arguments = f"{live_server.url}/api", token_of(users["root"]), str(library["ann's"].pk), "what is near 0.9?"
        told = node(program / "usage.js", *arguments)
    assert told == {
        "titles": ["ann's", "bob's"],
        "similarity": pytest.approx(0.9, abs=1e-3),
        "similar": ["bob's", "nobody's"],
        "years": [2020],
        "same": True,
        "models": told["models"],
        "declared": {"watch_fields": ["title"], "source_type": "api"},
        "agents": ["echo"],
        "runs": 0,
        "events": ["found", "text", "answered"],
        "text": "It is near 0.9 [1].",
        "passages": told["passages"],
        "left": 1,
        "failed": 502,
        "gone": True,
        "refused": [
            True,
            "urn:pgknowbase:problem:validation",
            "/limit",
            422,
            [401, "Unauthorized"],
            [404, "Not Found"],
        ],
    }
    assert "blog.Article" in told["models"]
    assert told["passages"][0] == "ann's"
