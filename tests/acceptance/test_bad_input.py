"""What a person reads when something is wrong: what it is, and what to do. Never a bare traceback."""

import io
import os
import shutil
import sys
import tempfile
from pathlib import Path

import pytest
from django.conf import settings
from django.core.checks import run_checks
from django.core.management import CommandError, call_command
from django.test import override_settings

from pgknowbase.checks import check_database, check_settings, check_source_models
from pgknowbase.core import gateway
from pgknowbase.core.queries import Query, find_query
from pgknowbase.embedded import EmbeddedPostgres
from pgknowbase.embeddings.query_vectors import query_vector
from pgknowbase.models import ExternalData
from pgknowbase.worker import Worker
from tests.fakes import RecordingEmbedder
from tests.processes import run
from tests.projects.blog.models import Article

COMMANDS = ["pgknowbase_status", "pgknowbase_worker --once", "sync_external_models", "pgknowbase_space list"]
OPENAI = {"BACKEND": "pgknowbase.embeddings.OpenAIEmbedder", "MODEL": "wordllama-256", "DIMENSIONS": 256}
NOBODY = "postgresql://nobody:secret@127.0.0.1:1/nothing"


def manage(command, url):
    """``manage.py command`` in a process of its own, with the server of ``url``: its exit code and what it says."""
    environment = {
        **os.environ,
        "DATABASE_URL": url,
        "DJANGO_SETTINGS_MODULE": "tests.settings",
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    done = run("-m", "django", *command.split(), env=environment, timeout=120)
    return done.returncode, done.stderr


def embeddings(**changes):
    """The tests' PGKNOWBASE with other keys in its entry of EMBEDDINGS."""
    return override_settings(
        PGKNOWBASE={
            **settings.PGKNOWBASE,
            "EMBEDDINGS": {"default": {**settings.PGKNOWBASE["EMBEDDINGS"]["default"], **changes}},
        }
    )


@pytest.fixture(scope="module")
def server():
    """A server with a password and an empty database."""
    directory = Path(tempfile.mkdtemp(prefix="pgk-"))
    directory.chmod(0o711)
    server = EmbeddedPostgres(directory / "pg", options={"fsync": "off"}, port=0, database="empty").start()
    yield server
    server.stop(force=True)
    shutil.rmtree(directory)


# No server, wrong password, no database, nothing migrated


@pytest.mark.parametrize("command", COMMANDS)
def test_no_server(command):
    code, said = manage(command, NOBODY)
    assert code == 1
    assert "Traceback" not in said
    assert said.startswith("CommandError: Database 'default' cannot be reached: connection failed")
    assert said.endswith("Start the server, or correct HOST and PORT in DATABASES.\n")


def test_no_server_in_check_and_migrate():
    for command in ("check --database default", "migrate"):
        code, said = manage(command, NOBODY)
        assert code == 1
        assert "(pgknowbase.E021) Database 'default' cannot be reached" in said
        assert "HINT: Start the server" in said
        assert "Traceback" not in said


def test_wrong_password_and_missing_database(server):
    wrong = server.url.replace("@", "x@")
    missing = server.url.replace("/empty", "/missing")
    assert "Correct USER and PASSWORD in DATABASES." in manage("pgknowbase_status", wrong)[1]
    assert "create the database" in manage("pgknowbase_status", missing)[1]
    code, said = manage("migrate", wrong)
    assert code == 1
    assert "HINT: Correct USER and PASSWORD in DATABASES." in said


@pytest.mark.parametrize("command", COMMANDS)
def test_nothing_migrated(server, command):
    code, said = manage(command, server.url)
    assert code == 1
    assert "Traceback" not in said
    assert said.endswith("Run 'manage.py migrate'.\n")


# The server


@pytest.mark.parametrize(
    ("found", "identity", "hint"),
    [
        (
            "180000, NULL, NULL",
            "E022",
            "Install pgvector 0.8 or newer on the server, such as the package postgresql-18",
        ),
        ("180000, '0.7.4', '0.8.1'", "E022", "ALTER EXTENSION vector UPDATE"),
        ("180000, NULL, '0.5.0'", "E022", "Install pgvector 0.8"),
        ("140012, '0.8.1', '0.8.1'", "E023", "Use Postgres 15 or newer."),
    ],
)
@pytest.mark.django_db
def test_unfit_server(monkeypatch, found, identity, hint):
    query = Query("server_versions", f"SELECT {found}", ())
    monkeypatch.setattr(gateway, "find_query", lambda name: query if name == query.name else find_query(name))
    (message,) = check_database(["default"])
    assert message.id == f"pgknowbase.{identity}"
    assert hint in message.hint


@pytest.mark.parametrize(
    ("name", "answer", "what"),
    [
        ("text_support", "'LATIN1', true", "encoding of database 'default' is LATIN1"),
        ("knows_letters", "false", "knows the letters of ASCII only"),
    ],
)
@pytest.mark.django_db
def test_unfit_locale(monkeypatch, name, answer, what):
    query = Query(name, f"SELECT {answer}", ())
    monkeypatch.setattr(gateway, "find_query", lambda asked: query if asked == name else find_query(asked))
    (message,) = check_database(["default"])
    assert message.id == "pgknowbase.E024"
    assert what in message.msg


@pytest.mark.django_db
def test_fit_server():
    assert check_database(["default"]) == []
    assert check_database(None) == []
    assert check_database(["other"]) == []


# The embedding space


@pytest.mark.django_db
def test_other_dimensions():
    with embeddings(**OPENAI | {"DIMENSIONS": 64}):
        (message,) = check_database(["default"])
        assert message.id == "pgknowbase.E020"
        assert "dimensions is 256, the settings say 64" in message.msg
        assert message.msg.endswith("run 'manage.py pgknowbase_space rebuild' to embed everything anew.")
        with pytest.raises(CommandError, match="pgknowbase_space rebuild"):
            call_command("pgknowbase_worker", "--once")


@pytest.mark.django_db
def test_other_backend_may_be_accepted(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    with embeddings(**OPENAI):
        assert "pgknowbase_space accept" in check_database(["default"])[0].msg
        call_command("pgknowbase_space", "accept", stdout=io.StringIO())
        assert check_database(["default"]) == []


@pytest.mark.django_db
def test_space_list_keeps_one_line_for_each():
    out = io.StringIO()
    call_command("pgknowbase_space", "list", stdout=out)
    assert len(out.getvalue().splitlines()) == 4
    assert r"$title\n$chunk" in out.getvalue()


@pytest.mark.django_db
def test_rebuild_asks_nobody(monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO())
    with pytest.raises(CommandError, match="--yes"):
        call_command("pgknowbase_space", "rebuild", stdout=io.StringIO())


# The provider


def test_missing_key_is_a_warning(monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with embeddings(**OPENAI):
        (message,) = check_settings()
        assert message.id == "pgknowbase.W005"
        assert "'OPENAI_API_KEY' holds no API key" in message.msg
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    with embeddings(**OPENAI):
        assert check_settings() == []


@pytest.mark.django_db(transaction=True)
def test_missing_key_stops_the_worker_before_it_takes_work(monkeypatch, drain):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    article = Article.objects.create(title="a", body="b")
    call_command("pgknowbase_worker", "--once", "--relay-only", stdout=io.StringIO())
    monkeypatch.setattr("pgknowbase.vectorizer.executor.matching_space", lambda using: article_space())
    with embeddings(**OPENAI), pytest.raises(CommandError, match="OPENAI_API_KEY"):
        call_command("pgknowbase_worker", "--once")
    found = article.external_data
    assert (found.status, found.error) == ("pending", "")


@pytest.mark.django_db(transaction=True)
def test_settings_that_fail_midway_leave_no_lease(monkeypatch, drain):
    """A key that vanishes while the worker runs: its documents are due again at once, not after the lease."""
    article = Article.objects.create(title="a", body="b")
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    monkeypatch.setattr("pgknowbase.vectorizer.executor.matching_space", lambda using: article_space())
    monkeypatch.setattr("pgknowbase.embeddings.openai.OpenAIEmbedder.verify", lambda self: None)
    monkeypatch.delenv("OPENAI_API_KEY")
    with embeddings(**OPENAI), pytest.raises(CommandError, match="OPENAI_API_KEY"):
        call_command("pgknowbase_worker", "--once")
    found = article.external_data
    assert (found.status, "OPENAI_API_KEY" in found.error) == ("pending", True)
    monkeypatch.undo()
    assert drain().documents == 1


@pytest.mark.django_db(transaction=True)
def test_provider_down(monkeypatch, drain):
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    monkeypatch.setattr("pgknowbase.vectorizer.executor.matching_space", lambda using: article_space())
    article = Article.objects.create(title="a", body="b")
    with embeddings(**OPENAI, OPTIONS={"BASE_URL": "http://127.0.0.1:1/v1"}):
        totals = Worker().run_until_idle()
    assert (totals.documents, totals.embedded) == (0, 0)
    assert totals.retried >= 1
    assert article.external_data_status == "pending"
    assert "check BASE_URL" in ExternalData.objects.get().error


def article_space():
    from pgknowbase.spaces.specification import active_space

    space = active_space("default")
    space.backend, space.model, space.dimensions = OPENAI["BACKEND"], OPENAI["MODEL"], OPENAI["DIMENSIONS"]
    return space


# Settings and declarations


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"WORKR": {}}, "WORKR: unknown key"),
        ({"WORKER": {"CONCURRENCY": 0}}, "WORKER.CONCURRENCY: Input should be greater than or equal to 1, got 0"),
        ({"EMBEDDINGS": {"default": {"BACKEND": "x"}}}, "EMBEDDINGS.default.MODEL: missing"),
        ({"SPACE": {"EMBEDDING": "no"}}, "SPACE names the embedding 'no', which EMBEDDINGS does not have"),
        ({"SPACE": {"CHUNK_OVERLAP": 700}}, "CHUNK_OVERLAP must be smaller than CHUNK_SIZE"),
        ({"SPACE": {"TEMPLATE": "$title"}}, "TEMPLATE must contain '$chunk'"),
        ({"SPACE": {"TEMPLATE": "$chunk $chunk"}}, "TEMPLATE must contain '$chunk', and that once"),
        ({"SPACE": {"TEMPLATE": "$chunk ${chunk}"}}, "TEMPLATE must contain '$chunk', and that once"),
        ({"SPACE": {"TEMPLATE": "$$ $chunk"}}, "TEMPLATE has '$' after a '$'"),
        ({"SPACE": {"TEMPLATE": "5 $ $chunk"}}, "TEMPLATE has '$' after a '$'"),
        ({"SPACE": {"TEMPLATE": "$chunk $tag"}}, "TEMPLATE has 'tag' after a '$'"),
        ({"SPACE": {"TEMPLATE": "$chunks $chunk"}}, "TEMPLATE has 'chunks' after a '$'"),
        ({"SPACE": {"TEMPLATE": "${chunk}s"}}, "a character other than a letter after '${chunk}'"),
    ],
)
def test_wrong_settings(changes, said):
    with override_settings(PGKNOWBASE={**settings.PGKNOWBASE, **changes}):
        (message,) = check_settings()
        assert message.id == "pgknowbase.E001"
        assert said in message.msg
        assert "Value error" not in message.msg
        with pytest.raises(CommandError, match=r"docs/settings\.md"):
            call_command("pgknowbase_status")


@pytest.mark.parametrize(
    ("changes", "identity", "said"),
    [
        ({"watch_fields": ["titel"]}, "E010", "'titel' is not a field of 'blog.Article': use one of author, "),
        ({"watch_fields": "title"}, "E010", "write a list of names, such as ['title']"),
        ({"watch_fields": ["title", "title"]}, "E010", "'title' is named twice"),
        ({"watch_fields": []}, "E010", "at least 1 item"),
        ({"watch_fields": ["title__x"]}, "E010", "goes through 'title', which is not a relation"),
        ({"watch_fields": ["category__nam"]}, "E010", "'blog.Category' has no field 'nam'"),
        ({"watch_fieds": ["title"]}, "E010", "'watch_fieds' is not a key of it: use one of watch_fields, "),
        ({"similarity_threshold": 1.5}, "E010", "less than or equal to 1, got 1.5"),
        ({"owner_field": "title"}, "E010", "does not lead to 'auth.User'"),
        ({"owner_field": "nobody"}, "E010", "has no field 'nobody'"),
    ],
)
def test_wrong_declaration(monkeypatch, changes, identity, said):
    declared = type("ExternalDataMeta", (), {"watch_fields": ["title"], **changes})
    monkeypatch.setattr(Article, "ExternalDataMeta", declared)
    (message,) = check_source_models()
    assert message.id == f"pgknowbase.{identity}"
    assert said in message.msg
    assert "Value error" not in message.msg
    assert message.hint


@pytest.mark.django_db(transaction=True)
def test_rebuilt_space_says_what_waits(drain):
    article = Article.objects.create(title="a", body="b")
    drain()
    call_command("pgknowbase_space", "rebuild", "--yes", stdout=io.StringIO())
    found = article.external_data
    assert (found.status, found.chunk_count) == ("pending", 0)
    drain()
    found = article.external_data
    assert (found.status, found.chunk_count) == ("completed", 1)


def test_a_search_text_is_embedded_once():
    class Counting(RecordingEmbedder):
        def embed_query(self, text):
            self.queries.append(text)
            return super().embed_query(text)

    embedder = Counting()
    embedder.queries = []
    for text, asked in (("x", ["x"]), ("x", ["x"]), ("y", ["x", "y"])):
        query_vector(embedder, text)
        assert embedder.queries == asked


def test_all_checks_are_registered():
    with override_settings(PGKNOWBASE=None):
        assert "pgknowbase.E001" in {message.id for message in run_checks(tags=["pgknowbase"])}
