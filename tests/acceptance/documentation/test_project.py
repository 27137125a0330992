"""Examples of settings, tokens, servers and metrics."""

import json
import os
import subprocess
import tempfile
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from django.contrib.auth.models import User
from django.db import connection, migrations
from ninja import Router
from pydantic import BaseModel

from pgknowbase.api.authentication import get_caller
from pgknowbase.api.problems import Problem
from pgknowbase.capture.operations import RemoveCaptureTrigger, RenameSource
from pgknowbase.costs.tenants import Spender
from pgknowbase.embeddings import get_embedder
from pgknowbase.models import ExternalData
from pgknowbase.rerank import Reranker, Scores, stage
from pgknowbase.rerank.base import Deadline
from pgknowbase.testing import ChatProvider
from pgknowbase.worker import Worker
from tests.acceptance.documentation.examples import installed
from tests.integration.api.conftest import token_of
from tests.models import cross_encoder_folder, embedding_folder
from tests.projects.blog.models import Article
from tests.projects.oauth import settings as oauth_settings


class SecondStage(Reranker):
    def __init__(self, *, model):
        self.model = model

    def score(self, query, texts, deadline):
        return Scores([1.0] * len(texts))


class Run(BaseModel):
    user_id: int | None = None


def test_settings(page, accepted):
    assert accepted(**page.run({})["PGKNOWBASE"])["WORKER"]["CONCURRENCY"] == 4
    names = page.run({})
    assert names["DATABASES"]["kb"]["ENGINE"] == "django.db.backends.postgresql"
    assert names["PGKNOWBASE"]["DATABASE"] == "kb"


def test_commands(page, accepted):
    names = page.run({"INSTALLED_APPS": [], "BASE_DIR": Path("/tmp")})
    assert names["DATABASES"]["default"]["ENGINE"] == "django.db.backends.postgresql"
    accepted(EMBEDDINGS=names["PGKNOWBASE"]["EMBEDDINGS"])


@pytest.fixture
def directory():
    """An empty folder that Postgres may pass through."""
    with tempfile.TemporaryDirectory(prefix="pgk-") as made:
        Path(made).chmod(0o711)
        yield Path(made)


@pytest.mark.process
def test_embedded(page, directory, capsys):
    assert page.run({"BASE_DIR": directory})["DATABASES"]["default"]["ENGINE"] == "django.db.backends.postgresql"
    code = page.take("python")
    exec(code.replace("/tmp/try/pg", str(directory / "pg")), {})
    assert capsys.readouterr().out.startswith("postgresql://postgres@/postgres?")


def test_embeddings(page, accepted, monkeypatch, tmp_path):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-x")
    monkeypatch.setenv("CO_API_KEY", "x")
    accepted(**page.run({})["PGKNOWBASE"])
    for _ in range(2):
        accepted(EMBEDDINGS=page.entry(), SPACE={})
        assert get_embedder("default").dimensions == 1536
    exported = page.entry()
    exported["default"]["OPTIONS"]["PATH"] = embedding_folder(tmp_path, width=384)
    accepted(EMBEDDINGS=exported, SPACE={})
    assert len(get_embedder("default").embed_query("river")) == 384
    mine = page.run({"my_model": lambda text: [float(len(text)), 0.0]})["MyEmbedder"](model="m", dimensions=2)
    assert mine.embed_documents(["a", "bc"]).vectors == [[1.0, 0.0], [2.0, 0.0]]


def test_reranking(page, accepted, drain, tmp_path):
    accepted(**page.run({})["PGKNOWBASE"])
    Article.objects.create(title="Gears", body="How to repair gears.")
    drain()
    stage.forget()
    example = page.take("python")
    served = accepted(RERANKERS={"default": {"BACKEND": f"{__name__}.SecondStage", "MODEL": "m"}})
    assert list(served["RERANKERS"]) == ["default"]
    shown: list[object] = []
    exec(example, {"Note": Article, "print": lambda *given: shown.extend(given)})
    assert shown == ["done", [("Gears", 1.0, 1)]]
    exported = page.entry()
    exported["default"]["OPTIONS"]["PATH"] = cross_encoder_folder(tmp_path)
    accepted(RERANKERS=exported)
    mine = page.run({"my_model": lambda query, text: float(len(text))})["MyReranker"](model="m")
    assert mine.score("q", ["a", "bc"], Deadline.after(9)).scores == [1.0, 2.0]


def test_worker(page, accepted, monkeypatch, db):
    monkeypatch.setenv("CO_API_KEY", "x")
    kept = accepted()
    accepted(**page.entry(), SPACE={})
    accepted(**kept)
    page.run({"ExternalData": ExternalData})
    with connection.cursor() as cursor:
        for metrics in yaml.safe_load(page.take("yaml")).values():
            cursor.execute(metrics["query"])
            columns = [name for metric in metrics["metrics"] for name in metric]
            assert [column.name for column in cursor.description] == columns


def test_tenants(page, accepted, make_database, transactional_db, rf):
    with make_database().connect() as admin:
        admin.execute(page.take("sql"))
        schemas = admin.execute("SELECT nspname FROM pg_namespace WHERE nspname IN ('acme', 'globex')").fetchall()
    assert len(schemas) == 2
    names = page.run({"POSTGRES": connection.settings_dict})
    assert names["DATABASES"]["globex"]["OPTIONS"] == {"options": "-c search_path=globex,extensions"}
    asked = page.run({"tenant_of": lambda request: "default"})
    assert asked["TenantMiddleware"](lambda request: request.path)(rf.get("/x/")) == "/x/"
    assert asked["TenantRouter"]().db_for_read(Article) == "default"
    Article.objects.create(title="Rice")

    def slept(seconds):
        raise StopIteration

    with pytest.raises(StopIteration):
        page.run({"TENANTS": ["default"], "Worker": Worker, "time": SimpleNamespace(sleep=slept)})
    assert ExternalData.objects.get().title == "Rice"


def test_upgrading(page):
    code = page.take("python")
    assert code.count(", ...") == 1
    names = {"migrations": migrations, "RemoveCaptureTrigger": RemoveCaptureTrigger, "RenameSource": RenameSource}
    exec(code.replace(", ...", ", []"), names)  # the fields of a model
    assert [type(operation).__name__ for operation in names["operations"]] == [
        "SeparateDatabaseAndState",
        "RenameSource",
    ]


def test_costs(page, accepted, settings):
    accepted(**page.entry())
    function = page.run({})["tenant_of"]
    assert function(Spender(user_id="7", source="shop.product", object_key="1", metadata={})) == "7"
    assert function(Spender(user_id="7", source="shop.product", object_key="1", metadata={"customer": "c"})) == "c"
    accepted(**page.entry())


def test_telemetry(page):
    page.take("sh")
    (route,) = installed(page)["urlpatterns"]
    (job,) = yaml.safe_load(page.take("yaml"))["scrape_configs"]
    # Prometheus asks for /metrics unless it is told otherwise.
    assert (str(route.pattern), job.get("metrics_path"), job["authorization"]) == (
        "metrics",
        None,
        {"credentials": "pgk_..."},
    )


def test_mcp(page):
    page.take("sh")
    installed(page)
    page.take("sh")
    settings = page.run({"INSTALLED_APPS": []})
    assert {name: settings[name] for name in ("LOGIN_URL", "OAUTH2_PROVIDER")} == {
        name: getattr(oauth_settings, name) for name in ("LOGIN_URL", "OAUTH2_PROVIDER")
    }
    page.take("python")  # tests/projects/oauth/urls.py
    (server,) = json.loads(page.take("json"))["mcpServers"].values()
    assert server["args"][:2] == ["manage.py", "pgknowbase_mcp"]


def curl(command, url, token):
    """What curl is told to do, against the server of the test."""
    environment = {**os.environ, "TOKEN": token}
    done = subprocess.run(
        ["sh", "-c", command.replace("https://example.org", url)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return done.stdout


def test_api(page, live_server, transactional_db, settings):
    page.take("sh")
    installed(page)
    token = token_of(User.objects.create_user("ann"), "search", "agents")
    assert json.loads(curl(page.take("sh"), live_server.url, token))["results"] == []
    with ChatProvider() as provider:
        agents = {"MODEL": "openai:any", "PROVIDERS": {"openai": provider.settings()}}
        settings.PGKNOWBASE = {**settings.PGKNOWBASE, "AGENTS": agents}
        assert "event: " in curl(page.take("sh").replace("/writer/", "/echo/"), live_server.url, token)
    page.take("ts")  # tests/integration/api/test_typescript.py
    router = page.run({"Router": Router, "Run": Run, "RunRequest": Run, "get_caller": get_caller, "Problem": Problem})[
        "router"
    ]
    assert list(router.path_operations) == ["runs/"]
