"""Tool sets: who may do what, and what is refused."""

import asyncio
import os

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import Permission, User
from django.contrib.contenttypes.models import ContentType
from django.core.cache import cache
from django.test import override_settings
from pydantic_ai import Agent, DeferredToolRequests

from pgknowbase.agents import DjangoDeps, TestModel
from pgknowbase.agents.models import ToolExecution
from pgknowbase.agents.toolsets import (
    cache_tools,
    django_info_tools,
    file_tools,
    for_user,
    get_toolset,
    knowledge_tools,
    orm_tools,
)
from pgknowbase.errors import AgentError, ApprovalNeededError
from pgknowbase.models import ExternalData
from tests.integration.agents.conftest import make_agent, saying
from tests.projects.blog.models import Article

pytestmark = pytest.mark.django_db


@pytest.fixture
def call(user):
    """Let a model call one tool as a user; returns the row of the call."""

    def run(tools, name, arguments=None, *, by=user, permission="allow", **options):
        permissions = {name: permission} if permission else {}
        agent = make_agent(toolsets=[tools], permissions=permissions, **options)
        model = saying((name, arguments or {}), "end")
        agent.run_sync("x", deps=DjangoDeps(user_id=by.pk if by else None), model=model)
        return ToolExecution.objects.latest("pk")

    return run


def allow(user, *names):
    user.user_permissions.add(*Permission.objects.filter(codename__in=names))


# Knowledge


@pytest.fixture
def library(drain, user):
    mine = Article.objects.create(title="Rice", body="Wash the rice, then steam it.", author=user)
    theirs = Article.objects.create(
        title="Secret rice", body="Steam the rice in a secret way.", author=User.objects.create_user("eve")
    )
    drain()
    return mine, theirs


def test_knowledge_is_what_the_user_may_see(call, library, user):
    mine, theirs = library
    row = call(knowledge_tools(), "search_knowledge", {"query": "steam the rice"})
    assert row.status == "COMPLETED"
    assert "data" in row.result["note"]
    assert [hit["title"] for hit in row.result["results"]] == ["Rice"]
    assert "steam it" in row.result["results"][0]["quoted_text"]
    document = row.result["results"][0]["document_id"]
    assert document == mine.external_data.pk
    fetched = call(knowledge_tools(), "fetch_knowledge", {"document_id": document}).result["document"]
    assert "Wash the rice" in fetched["quoted_text"]
    hidden = call(knowledge_tools(), "fetch_knowledge", {"document_id": theirs.external_data.pk})
    missing = call(knowledge_tools(), "fetch_knowledge", {"document_id": 10**9})
    assert (hidden.status, missing.status) == ("REFUSED", "REFUSED")
    assert hidden.error.replace(str(theirs.external_data.pk), "N") == missing.error.replace(str(10**9), "N")
    assert call(knowledge_tools(), "similar_knowledge", {"document_id": document}).result["results"] == []
    boss = User.objects.create_superuser("boss")
    seen = call(knowledge_tools(), "similar_knowledge", {"document_id": document}, by=boss).result["results"]
    assert [hit["title"] for hit in seen] == ["Secret rice"]


def test_knowledge_has_nothing_of_a_model_that_is_not_a_source_model(call):
    kind = ContentType.objects.get_for_model(Permission)
    left = ExternalData.objects.create(content_type=kind, object_key="1", title="Left behind", is_public=True)
    for tool in ("fetch_knowledge", "similar_knowledge"):
        row = call(knowledge_tools(), tool, {"document_id": left.pk})
        assert (row.status, f"There is no document {left.pk}" in row.error) == ("REFUSED", True)


def test_knowledge_of_a_visitor_is_what_is_public(call, library):
    assert call(knowledge_tools(), "search_knowledge", {"query": "steam the rice"}, by=None).result["results"] == []


@pytest.mark.parametrize("arguments", [{"query": ""}, {"query": "x", "limit": 51}, {"query": "x", "models": ["a.B"]}])
def test_knowledge_refuses_with_what_to_do(call, arguments):
    row = call(knowledge_tools(), "search_knowledge", arguments)
    assert row.status == "REFUSED"
    assert row.error


def test_user_who_is_no_longer_active_is_refused(call, user):
    User.objects.filter(pk=user.pk).update(is_active=False)
    row = call(knowledge_tools(), "search_knowledge", {"query": "x"})
    assert (row.status, "not active" in row.error) == ("REFUSED", True)


# In agents of pydantic-ai


def plain(user, tools, *calls, **options):
    """What a plain agent's model is told after each call."""
    agent = Agent(saying(*calls, "end"), toolsets=[for_user(user, tools)], **options)
    # Not run_sync: pydantic-ai's leaves its event loop open, and whichever test runs at its collection fails.
    result = asyncio.run(agent.run("x", deps="whatever the project has"))
    parts = [part for message in result.all_messages() for part in message.parts if part.part_kind == "tool-return"]
    return result.output, [part.content for part in parts]


def test_tool_sets_in_a_plain_agent(library, user):
    _, theirs = library
    look = ("search_knowledge", {"query": "steam the rice"})
    hidden = ("fetch_knowledge", {"document_id": theirs.external_data.pk})
    output, (found, refused) = plain(user, knowledge_tools(), look, hidden)
    assert output == "end"
    assert [hit["title"] for hit in found["results"]] == ["Rice"]
    assert "use the id that a search returned" in str(refused)
    assert plain(None, knowledge_tools(), look)[1][0]["results"] == []
    User.objects.filter(pk=user.pk).update(is_active=False)
    assert "not active" in str(plain(user, knowledge_tools(), look)[1][0])
    assert not ToolExecution.objects.exists()


def test_tools_that_write_ask_in_a_plain_agent_too(user):
    write = ("cache_set", {"key": "a", "value": "b"})
    output, told = plain(user, cache_tools(), write, output_type=[str, DeferredToolRequests])
    assert [call.tool_name for call in output.approvals] == ["cache_set"]
    assert told == []


# ORM

MODELS = {"blog.Article": ["id", "title", "year", "author"], "auth.User": ["id", "username", "password", "email"]}


@pytest.fixture
def rows(user):
    allow(user, "view_article", "view_user")
    Article.objects.create(title="Old", year=1999, author=user)
    Article.objects.create(title="New", year=2026, author=user)


def test_orm(call, rows, user):
    query = {"model": "blog.Article", "filters": {"year__gte": 1990}, "order_by": ["-year"]}
    found = call(orm_tools(MODELS), "query_model", query).result
    assert [(row["title"], row["author"]) for row in found] == [("New", user.pk), ("Old", user.pk)]
    assert call(orm_tools(MODELS), "count_model", {"model": "blog.article", "filters": {"title": "Old"}}).result == 1


def test_orm_never_reads_passwords(call, rows):
    listed = call(orm_tools(MODELS), "list_models").result
    assert listed["auth.User"] == ["id", "username", "email"]
    (found,) = call(orm_tools(MODELS), "query_model", {"model": "auth.User"}).result
    assert set(found) == {"id", "username", "email"}


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ({"model": "auth.Group"}, "'auth.Group' cannot be queried"),
        ({"model": "auth.User", "filters": {"password__startswith": "md5"}}, "no field 'password'"),
        ({"model": "auth.User", "order_by": ["password"]}, "no field 'password'"),
        ({"model": "blog.Article", "filters": {"author__password__startswith": "m"}}, "lookup"),
        ({"model": "blog.Article", "filters": {"body": "x"}}, "no field 'body'"),
        ({"model": "blog.Article", "filters": {"title__regex": "(a+)+$"}}, "lookup 'regex'"),
        ({"model": "blog.Article", "filters": {"title__search": "x"}}, "lookup 'search'"),
        ({"model": "blog.Article", "filters": {"year": "many"}}, "The query is wrong"),
        ({"model": "blog.Article", "filters": {"_connector": "OR"}}, "no field '_connector'"),
        ({"model": "blog.Article", "order_by": ["?"]}, "no field '?'"),
        ({"model": "blog.Article", "limit": 1000}, "out of range"),
    ],
)
def test_orm_refuses(call, rows, query, said):
    row = call(orm_tools(MODELS), "query_model", query)
    assert (row.status, row.result) == ("REFUSED", None)
    assert said in row.error


SECRETS = {
    "auth.User": ["username", "password"],
    "sessions.Session": ["session_key", "session_data", "expire_date"],
    "pgknowbase_api.ApiToken": ["name", "prefix", "digest", "user", "user__password"],
    "blog.Article": ["title", "author", "author__password"],
}


def test_orm_never_tells_secrets_whatever_is_listed(call):
    boss = User.objects.create_superuser("boss", password="of the boss")
    shown = call(orm_tools(SECRETS), "list_models", by=boss).result
    assert shown == {
        "auth.User": ["username"],
        "sessions.Session": ["expire_date"],
        "pgknowbase_api.ApiToken": ["name", "prefix", "user"],
        "blog.Article": ["title", "author"],
    }
    for model, fields in SECRETS.items():
        for field in sorted({*fields} - {*shown[model]}):
            for key in (field, f"{field}__startswith"):
                for tool in ("query_model", "count_model"):
                    row = call(orm_tools(SECRETS), tool, {"model": model, "filters": {key: "m"}}, by=boss)
                    assert (row.status, row.result) == ("REFUSED", None), (model, key)
            row = call(orm_tools(SECRETS), "query_model", {"model": model, "order_by": [f"-{field}"]}, by=boss)
            assert (row.status, row.result) == ("REFUSED", None), (model, field)


@pytest.mark.parametrize(
    "filters",
    [
        {"author__pk": 1},
        {"author__username": "ann"},
        {"author__groups__permissions__codename": "x"},
        {"author__exact__password": "x"},
        {"title__startswith__password": "x"},
        {"pk__in": [1]},
        {"author_id": 1},
        {"title__exact": {"$ne": ""}},
        {"author__in": {"a": 1}},
        {"title__icontains__x": "y"},
    ],
    ids=str,
)
def test_orm_refuses_ways_around(call, rows, filters):
    model = {"blog.Article": ["title", "author"]}
    row = call(orm_tools(model), "query_model", {"model": "blog.Article", "filters": filters})
    assert row.status == "REFUSED" or row.result == []


def test_orm_asks_for_the_permission_to_view(call, user, set_agents):
    set_agents(ORM_TOOL_MODELS=MODELS)
    assert "cannot be queried" in call(get_toolset("orm"), "query_model", {"model": "blog.Article"}).error
    assert call(get_toolset("orm"), "query_model", {"model": "blog.Article"}, by=None).status == "REFUSED"
    allow(user, "view_article")
    assert call(get_toolset("orm"), "query_model", {"model": "blog.Article"}).status == "COMPLETED"


def test_orm_shows_rows_with_an_owner_to_the_owner_alone(call, rows, user):
    eve = User.objects.create_user("eve")
    Article.objects.create(title="Hers", author=eve)
    Article.objects.create(title="Nobody's", author=None)
    read = {"model": "blog.Article", "order_by": ["title"]}
    assert [row["title"] for row in call(orm_tools(MODELS), "query_model", read).result] == ["New", "Old"]
    assert call(orm_tools(MODELS), "count_model", {"model": "blog.Article"}).result == 2
    assert call(orm_tools(MODELS), "count_model", {"model": "blog.Article", "filters": {"title": "Hers"}}).result == 0
    boss = User.objects.create_superuser("boss")
    assert call(orm_tools(MODELS), "count_model", {"model": "blog.Article"}, by=boss).result == 4
    # No owner: the permission to view is all that is asked.
    assert call(orm_tools(MODELS), "count_model", {"model": "auth.User"}).result == 3


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ({"filters": {"year__in": list(range(501))}}, "501 values: pass at most 500"),
        ({"filters": {"title": "x" * 10_001}}, "longer than 10000 characters"),
        ({"order_by": ["title"] * 11}, "11 fields: pass at most 10"),
    ],
)
def test_orm_bounds_the_whole_query(call, rows, query, said):
    row = call(orm_tools(MODELS), "query_model", {"model": "blog.Article", **query})
    assert (row.status, said in row.error) == ("REFUSED", True)


# What writes


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("write_file", {"path": "a", "text": "x"}),
        ("delete_file", {"path": "a"}),
        ("cache_set", {"key": "a", "value": 1}),
        ("cache_delete", {"key": "a"}),
    ],
)
def test_what_writes_asks_a_person_by_default(call, tmp_path, name, arguments):
    tools = file_tools(tmp_path) if name.endswith("file") else cache_tools()
    with pytest.raises(ApprovalNeededError):
        call(tools, name, arguments, permission=None)
    assert ToolExecution.objects.get().status == "WAITING"
    assert not list(tmp_path.iterdir())
    assert call(tools, name, arguments).status != "WAITING"


def test_what_only_reads_does_not_ask(call, tmp_path):
    assert call(file_tools(tmp_path), "list_files", permission=None).status == "COMPLETED"
    assert call(cache_tools(), "cache_get", {"key": "a"}, permission=None).status == "COMPLETED"


# Cache


def test_cache_is_each_users_own(call, user):
    cache.clear()
    other = User.objects.create_user("eve")
    call(cache_tools(), "cache_set", {"key": "k", "value": {"a": 1}})
    assert call(cache_tools(), "cache_get", {"key": "k"}).result == {"a": 1}
    assert call(cache_tools(), "cache_get", {"key": "k"}, by=other).result is None
    cache.set("sessions", "of the project")
    assert call(cache_tools(), "cache_get", {"key": "sessions"}).result is None
    long = call(cache_tools(), "cache_set", {"key": "k" * 101, "value": 1})
    assert (long.status, "1 to 100" in long.error) == ("REFUSED", True)
    assert call(cache_tools(), "cache_set", {"key": "k", "value": "x" * 200_000}).status == "REFUSED"
    assert call(cache_tools(), "cache_delete", {"key": "k"}).result == "deleted"
    assert call(cache_tools(), "cache_get", {"key": "k"}, by=None).status == "REFUSED"


# Files


def test_files(call, tmp_path, user):
    tools = file_tools(tmp_path)
    assert call(tools, "list_files").result == []
    assert call(tools, "list_files", {"folder": "a"}).status == "REFUSED"
    call(tools, "write_file", {"path": "a/b.txt", "text": "first and long"})
    call(tools, "write_file", {"path": "a/b.txt", "text": "hello"})
    assert (tmp_path / f"user-{user.pk}" / "a" / "b.txt").read_text() == "hello"
    assert call(tools, "read_file", {"path": "./a//b.txt"}).result == "hello"
    assert call(tools, "list_files").result == ["a/"]
    assert call(tools, "list_files", {"folder": "a"}).result == ["b.txt"]
    assert call(tools, "delete_file", {"path": "a/b.txt"}).result == "deleted"
    assert call(tools, "read_file", {"path": "a/b.txt"}).status == "REFUSED"


def test_files_of_a_user_have_a_bound(call, tmp_path, user):
    tools, home = file_tools(tmp_path), tmp_path / f"user-{user.pk}"
    deep = call(tools, "write_file", {"path": "/".join("abcdefghijkl"), "text": "x"})
    assert (deep.status, "deeper than 10 folders" in deep.error) == ("REFUSED", True)
    home.mkdir()
    for number in range(999):
        (home / str(number)).touch()
    assert call(tools, "write_file", {"path": "last", "text": "x"}).status == "COMPLETED"
    full = call(tools, "write_file", {"path": "folder/more", "text": "x"})
    assert (full.status, "1000 files and folders" in full.error) == ("REFUSED", True)
    assert not (home / "folder").exists()
    for number in range(500):
        (home / str(number)).unlink()
    with (home / "large").open("wb") as file:
        file.truncate(50_000_000)
    large = call(tools, "write_file", {"path": "more", "text": "x"})
    assert (large.status, "50000000 bytes" in large.error) == ("REFUSED", True)
    assert call(tools, "delete_file", {"path": "large"}).status == "COMPLETED"
    assert call(tools, "write_file", {"path": "more", "text": "x"}).status == "COMPLETED"


@pytest.mark.parametrize(
    "path",
    ["../x", "a/../../x", "/etc/passwd", "..", "", ".", "a\\..\\x", "link/x", "link", "file", "hard", "pipe", "a\x00b"],
)
@pytest.mark.parametrize("tool", ["read_file", "write_file", "delete_file"])
def test_files_refuse_what_is_outside(call, tmp_path, user, tool, path):
    home = tmp_path / "root" / f"user-{user.pk}"
    home.mkdir(parents=True)
    outside = tmp_path / "outside"
    outside.mkdir()
    secret = outside / "x"
    secret.write_text("secret")
    (home / "link").symlink_to(outside)
    (home / "file").symlink_to(secret)
    os.link(secret, home / "hard")
    os.mkfifo(home / "pipe")
    row = call(file_tools(tmp_path / "root"), tool, {"path": path, **({"text": "!"} if tool == "write_file" else {})})
    assert secret.read_text() == "secret"
    assert not (tmp_path / "root" / "x").exists()
    if tool != "delete_file":  # to delete a name of the user's own harms nothing outside
        assert (row.status, row.result) == ("REFUSED", None)


def test_files_in_folders_that_became_symlinks(call, tmp_path, user):
    tools, home = file_tools(tmp_path / "root"), tmp_path / "root" / f"user-{user.pk}"
    call(tools, "write_file", {"path": "a/b/c.txt", "text": "own"})
    outside = tmp_path / "outside"
    (outside / "b").mkdir(parents=True)
    (outside / "b" / "c.txt").write_text("secret")
    (home / "a").rename(home / "old")
    (home / "a").symlink_to(outside)
    for tool in ("read_file", "write_file", "delete_file"):
        more = {"text": "!"} if tool == "write_file" else {}
        row = call(tools, tool, {"path": "a/b/c.txt", **more})
        assert (row.status, row.result) == ("REFUSED", None)
    for folder in ("a", "a/b", "..", "/", "../outside", "old/../../.."):
        row = call(tools, "list_files", {"folder": folder})
        assert "secret" not in str(row.result)
        assert row.status == "REFUSED" or folder == "/", folder
    assert (outside / "b" / "c.txt").read_text() == "secret"
    assert call(tools, "list_files").result == ["old/"]


def test_files_of_another_user(call, tmp_path, user):
    other = User.objects.create_user("eve")
    call(file_tools(tmp_path), "write_file", {"path": "x", "text": "mine"})
    assert call(file_tools(tmp_path), "read_file", {"path": "x"}, by=other).status == "REFUSED"
    assert call(file_tools(tmp_path), "list_files", by=None).status == "REFUSED"


def test_root_of_all_users_as_a_symlink_of_one(call, tmp_path, user):
    other = tmp_path / "user-0"
    other.mkdir()
    (other / "x").write_text("theirs")
    (tmp_path / f"user-{user.pk}").symlink_to(other)
    assert call(file_tools(tmp_path), "read_file", {"path": "x"}).status == "REFUSED"


# Django info


@override_settings(SECRET_KEY="very-secret-key")
def test_django_info_has_no_secrets(call, user):
    row = call(django_info_tools(), "project_info")
    assert "blog" in row.result["apps"]
    assert "secret" not in str(row.result)
    assert call(django_info_tools(), "describe_models", {"app": "blog"}).result == {}
    allow(user, "view_article")
    assert list(call(django_info_tools(), "describe_models", {"app": "blog"}).result) == ["blog.Article"]
    assert call(django_info_tools(), "describe_models", {"app": "nothing"}).status == "REFUSED"


# Permissions of tools


def test_denied_tool_does_not_run_and_the_model_is_told(call):
    agent_tools = file_tools("/nowhere")
    agent = make_agent(toolsets=[agent_tools], permissions={"list_files": "deny"})
    result = agent.run_sync("x", deps=DjangoDeps(user_id=1), model=TestModel(call_tools=[]))
    assert result.output
    with pytest.raises(AgentError, match="'maybe'"):
        make_agent(permissions={"x": "maybe"})


def test_unknown_toolset():
    with pytest.raises(AgentError, match="'shell' is unknown"):
        get_toolset("shell")


def test_tool_without_a_user_in_the_deps_is_refused():
    agent = make_agent(toolsets=[cache_tools()], deps_type=dict)
    async_to_sync(agent.run)("x", deps={}, model=saying(("cache_get", {"key": "k"}), "end"))
    assert ToolExecution.objects.get().status == "REFUSED"
