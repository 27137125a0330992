"""The TypeScript client: up to date, strictly typed, and working against a live server."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from pgknowbase.api import typescript_client
from tests.integration.api.conftest import token_of

ROOT = Path(__file__).parents[3]
SHIPPED = ROOT / "django_app" / "pgknowbase" / "api" / "typescript"
COMPILER = "typescript@5.9.3"
OPTIONS = {
    **dict.fromkeys(("strict", "noUncheckedIndexedAccess", "exactOptionalPropertyTypes", "noImplicitOverride"), True),
    **dict.fromkeys(("noUnusedLocals", "noUnusedParameters", "noEmitOnError"), True),
    **{"target": "es2022", "module": "nodenext", "lib": ["es2022", "dom", "dom.iterable"], "types": []},
}

needs_node = pytest.mark.skipif(shutil.which("npm") is None, reason="node and npm are not installed")


@pytest.fixture(scope="session")
def tsc():
    """The compiler, kept in build/ from run to run."""
    directory = ROOT / "build" / "typescript" / COMPILER
    program = directory / "node_modules" / ".bin" / "tsc"
    if not program.exists():
        directory.mkdir(parents=True, exist_ok=True)
        command = ["npm", "install", "--no-package-lock", "--no-audit", "--no-fund", "--prefix", directory, COMPILER]
        subprocess.run(command, check=True, capture_output=True, timeout=300)
    return program


@pytest.fixture(scope="session")
def compiled(tsc, tmp_path_factory):
    """A folder with the client and its usage, compiled."""
    folder = tmp_path_factory.mktemp("typescript")
    for path in (*SHIPPED.glob("*.ts"), Path(__file__).with_name("usage.ts")):
        shutil.copy(path, folder)
    (folder / "package.json").write_text('{"type": "module"}')
    files = sorted(path.name for path in folder.glob("*.ts"))
    assert files == ["client.ts", "problem.ts", "runtime.ts", "usage.ts"]
    (folder / "tsconfig.json").write_text(json.dumps({"compilerOptions": OPTIONS, "files": files}))
    done = subprocess.run([tsc], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    return folder


def test_shipped_client_is_what_the_document_gives(capsys, tmp_path):
    call_command("pgknowbase_openapi", "--format", "typescript", "--output", tmp_path / "client.ts")
    command = "manage.py pgknowbase_openapi --format typescript --output django_app/pgknowbase/api/typescript/client.ts"
    assert (SHIPPED / "client.ts").read_text() == (tmp_path / "client.ts").read_text(), f"stale: run {command}"


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


def test_paths_and_odd_schemas():
    document = {
        "paths": {
            "/runs/{id}/": {
                "delete": {
                    "operationId": "cancel",
                    "description": "Ends */ it.",
                    "parameters": [{"in": "path", "name": "id", "schema": {"type": "string"}, "required": True}],
                    "responses": {"204": {"description": "Gone"}},
                }
            }
        },
        "components": {
            "schemas": {
                **{name: {"enum": ["a", 1]} for name in typescript_client.ALWAYS},
                "ModelIntegrationStatus": {
                    "properties": {
                        "a-b": {"type": ["string", "null"]},
                        "map": {"type": "object", "additionalProperties": {"const": True}},
                        "both": {"allOf": [{"$ref": "#/components/schemas/Other"}]},
                        "any": {},
                    },
                    "required": ["map"],
                },
                "Other": {"type": "array", "items": {"type": "object", "properties": {"x": {"type": "integer"}}}},
                "Unused": {"type": "string"},
            }
        },
    }
    text = typescript_client.client_of(document)
    for line in (
        '  "a-b"?: string | null;',
        "  map: Record<string, true>;",
        "  both?: Other;",
        "  any?: unknown;",
        "export type Other = Array<{ x?: number }>;",
        "  /** Ends * / it. */",
        "  cancel(path: { id: string }, options: PostOptions = {}): Promise<void> {",
        '    return this.call<void>("DELETE", "runs/{id}/", { path, ...options });',
    ):
        assert line in text.splitlines()
    assert "Unused" not in text


@needs_node
@pytest.mark.django_db(transaction=True)
def test_client_works(compiled, library, users, live_server):
    article = library["ann's"]
    command = ["node", "usage.js", f"{live_server.url}/api", token_of(users["root"]), str(article.pk)]
    done = subprocess.run(command, cwd=compiled, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told == {
        "titles": ["ann's", "bob's"],
        "similarity": pytest.approx(0.9, abs=1e-3),
        "similar": ["bob's", "nobody's"],
        "years": [2020],
        "same": True,
        "models": told["models"],
        "agents": ["echo"],
        "runs": 0,
        "refused": [422, "/limit"],
    }
    assert "blog.Article" in told["models"]
