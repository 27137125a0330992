"""Searches on replicas: where they run, what they must see, and what happens when a server fails."""

import json
import os
import threading
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from django.contrib.auth import get_user_model
from django.db import OperationalError, connections, router, transaction
from django.test import Client

from pgknowbase.chat.retrieval import find_passages
from pgknowbase.conf import get_settings
from pgknowbase.core import gateway
from pgknowbase.core.routing import reads_from
from pgknowbase.errors import FreshnessError, NotYetFreshError
from pgknowbase.models import ExternalData
from pgknowbase.operations.doctor.examine import examine
from pgknowbase.replicas import FreshnessToken, freshness, freshness_token, servers
from pgknowbase.search import service
from pgknowbase.search.questions import FacetQuery, QueryFilters, SearchQuery
from pgknowbase.search.visibility import UNRESTRICTED
from pgknowbase.testing import drain
from tests.acceptance.documentation.examples import Page
from tests.integration.replicas.conftest import ROUTERS, ask, caught_up, follow, pause, resume, until
from tests.projects.blog.models import Article, Category

pytestmark = pytest.mark.skipif("DATABASE_URL" in os.environ, reason="needs the embedded Postgres")
SEARCH = "/api/knowledge/search/"


@pytest.fixture
def rice(replicas):
    article = Article.objects.create(title="Rice", body="Wash the rice, then steam it.")
    drain()
    for alias in replicas:
        caught_up(alias)
    return article


@pytest.fixture
def asked(monkeypatch):
    """The aliases whose servers were asked to search, in order."""
    seen = []

    class Watch:
        def __call__(self, execute, sql, params, many, context):
            if "pgknowbase_search_" in sql or "pgknowbase_similar" in sql or "pgknowbase_facets" in sql:
                seen.append(context["connection"].alias)
            return execute(sql, params, many, context)

    watch = Watch()
    for alias in ["default", *get_settings().replicas.get("default", ())]:
        connections[alias].execute_wrappers.append(watch)
    yield seen
    for alias in connections:
        if watch in connections[alias].execute_wrappers:
            connections[alias].execute_wrappers.remove(watch)


def titles(question="rice", **options):
    return [row.title for row in Article.objects.keyword_search(question, **options)]


def change(article, body="Boil the noodles."):
    Article.objects.filter(pk=article.pk).update(body=body)
    return freshness_token(article)


# Where searches run


def test_every_kind_of_search_reads_replicas_in_turn(rice, asked):
    for mode in ("semantic", "keyword", "hybrid"):
        for options in ({}, {"snippet_length": 60}, {"include_pending": True}, {"order_by": "-updated"}):
            found = ExternalData.objects.search("steam the rice", mode=mode, **options)
            assert [hit.title for hit in found] == ["Rice"], (mode, options)
    assert Article.objects.filter(title="Rice").hybrid_search("rice")[0] == rice
    assert Article.objects.keyword_search("ricd", correct_typos=True).did_you_mean == "rice"
    assert list(Article.objects.similar_to(rice)) == []
    assert Article.objects.facets("tags", query="rice").documents == 1
    assert Article.objects.keyword_search("rice").explain_search().found == 1
    assert set(asked) == {"replica_0", "replica_1"}


def test_a_search_stays_on_its_server(rice, asked):
    found = Article.objects.keyword_search("rice")
    assert found.count() == len(found) == 1
    assert found.filter(title="Rice").exists()
    assert len(set(asked)) == 1


def test_service_rest_and_chat_read_replicas_and_a_chosen_database_is_kept(rice, asked):
    viewer = UNRESTRICTED
    assert service.search(SearchQuery(query="rice"), viewer=viewer).results[0].title == "Rice"
    assert service.similar("blog.Article", str(rice.pk), QueryFilters(), viewer=viewer).results == []
    assert service.facets(FacetQuery(facets=["tags"]), viewer=viewer).documents == 1
    assert service.fetch("blog.Article", str(rice.pk), viewer=viewer).title == "Rice"
    client = Client()
    client.force_login(get_user_model().objects.create_superuser("root"))
    assert client.get(SEARCH, {"query": "rice"}).json()["results"][0]["title"] == "Rice"
    assert find_passages("how to steam the rice", get_user_model()(is_superuser=True, is_active=True, pk=1))
    assert "default" not in asked
    assert set(asked) == {"replica_0", "replica_1"}
    asked.clear()
    assert [row.title for row in Article.objects.using("default").keyword_search("rice")] == ["Rice"]
    assert set(asked) == {"default"}


def test_a_found_row_is_written_to_the_primary_and_reads_its_relations_on_the_replica(replicas):
    made = Article.objects.create(title="Rice", body="Steam it.", category=Category.objects.create(name="food"))
    drain()
    for alias in replicas:
        caught_up(alias)
    (row,) = Article.objects.keyword_search("steam")
    assert row._state.db in replicas
    assert row.category._state.db == row._state.db
    row.title = "Noodles"
    row.save()
    assert Article.objects.using("default").get(pk=made.pk).title == "Noodles"
    assert router.allow_relation(row, Category.objects.using("default").get())
    assert router.allow_migrate("replica_0", "blog") is False
    assert router.db_for_read(Article) == "default"
    with reads_from("replica_0"):
        assert router.db_for_read(Article) == "replica_0"


# Freshness


def test_without_a_token_a_lagging_replica_shows_what_it_has(rice, replicas):
    for alias in replicas:
        pause(alias)
    change(rice)
    drain()
    assert titles("noodles") == []


def test_the_token_of_a_write_that_every_replica_has_costs_no_visit_to_the_primary(rice, replicas, asked):
    token = change(rice)
    drain()
    token = freshness_token(rice)
    for alias in replicas:
        caught_up(alias)
    found = Article.objects.keyword_search("noodles", fresh=token, fresh_timeout=0)
    assert [row.title for row in found] == ["Rice"]
    assert found.freshness == "fresh"
    assert asked[0] in replicas


def test_a_replica_that_has_it_is_asked_before_one_that_has_not(rice, replicas, asked):
    pause("replica_0")
    change(rice)
    drain()
    token = freshness_token(rice)
    caught_up("replica_1")
    for _ in range(4):
        assert titles("noodles", fresh=token, fresh_timeout=0, if_stale="error") == ["Rice"]
    assert set(asked) == {"replica_1"}


def test_replicas_that_never_catch_up(rice, replicas, asked):
    for alias in replicas:
        pause(alias)
    token = change(rice)
    drain()
    assert titles("noodles", fresh=token, fresh_timeout=0) == ["Rice"]
    assert set(asked) == {"default"}
    found = Article.objects.keyword_search("noodles", fresh=token, fresh_timeout=0, if_stale="pending")
    assert list(found) == []
    assert found.freshness == "pending"
    with pytest.raises(NotYetFreshError, match=r"is not on any server that answers after 0.01 s: search again later"):
        titles("noodles", fresh=token, fresh_timeout=0.01, if_stale="error")


def test_a_search_waits_for_a_replica(rice, replicas, asked):
    for alias in replicas:
        pause(alias)
    token = change(rice)
    drain()
    timer = threading.Timer(0.1, lambda: (resume("replica_1"), connections["replica_1"].close()))
    timer.start()
    assert titles("noodles", fresh=token, fresh_timeout=30, if_stale="error") == ["Rice"]
    timer.join()
    assert set(asked) == {"replica_1"}


def test_a_search_waits_for_the_index_and_says_pending_without_a_worker(rice, replicas):
    token = change(rice)
    for alias in replicas:
        caught_up(alias)
    found = Article.objects.keyword_search("noodles", fresh=token, fresh_timeout=0)
    assert list(found) == []
    assert found.freshness == "pending"
    with pytest.raises(NotYetFreshError, match="is not indexed after 0 s"):
        titles("noodles", fresh=token, fresh_timeout=0, if_stale="error")

    def work():
        time.sleep(0.05)
        drain()
        connections["default"].close()

    worker = threading.Thread(target=work)
    worker.start()
    assert titles("noodles", fresh=token, fresh_timeout=30, if_stale="error") == ["Rice"]
    worker.join()


def test_changes_after_the_token_are_not_waited_for(rice, replicas):
    token = change(rice)
    drain()
    change(rice, "Fry the onions.")
    found = Article.objects.keyword_search("noodles", fresh=token, fresh_timeout=0)
    assert [row.title for row in found] == ["Rice"]
    assert found.freshness == "fresh"


def test_a_deleted_row_is_not_found_with_its_token(rice, replicas):
    key, article = rice.pk, rice
    article.delete()
    article.pk = key
    token = freshness_token(article)
    drain()
    found = Article.objects.keyword_search("rice", fresh=token)
    assert list(found) == []
    assert found.freshness == "fresh"


def test_rest_takes_the_token_as_parameter_and_as_header(rice, replicas):
    client, root = Client(), get_user_model().objects.create_superuser("root")
    client.force_login(root)
    Article.objects.filter(pk=rice.pk).update(body="Boil the noodles.")
    sync = {"model_name": "blog.Article", "model_id": rice.pk}
    token = client.post("/api/knowledge/sync/", json.dumps(sync), "application/json").headers["Pgknowbase-Fresh"]
    batch = {"model_name": "blog.Article", "model_ids": [rice.pk]}
    assert client.post("/api/knowledge/sync/batch/", json.dumps(batch), "application/json").headers["Pgknowbase-Fresh"]
    query = {"query": "noodles", "mode": "keyword", "fresh_timeout": 0}
    assert client.get(SEARCH, {**query, "fresh": token}).json()["freshness"] == "pending"
    refused = client.get(SEARCH, {**query, "if_stale": "error"}, headers={"Pgknowbase-Fresh": token})
    assert (refused.status_code, refused.json()["type"]) == (503, "urn:pgknowbase:problem:not-fresh")
    assert refused.headers["Retry-After"] == "1"
    drain()
    for alias in replicas:
        caught_up(alias)
    answered = client.post(SEARCH, json.dumps(query), "application/json", headers={"Pgknowbase-Fresh": token}).json()
    assert (answered["freshness"], [one["title"] for one in answered["results"]]) == ("fresh", ["Rice"])
    for path, parameters in (
        ("similar", {"model": "blog.Article", "key": rice.pk}),
        ("facets", {"facets": "tags"}),
        ("document", {"model": "blog.Article", "key": rice.pk}),
    ):
        answer = client.get(f"/api/knowledge/{path}/", parameters, headers={"Pgknowbase-Fresh": token}).json()
        assert answer["freshness"] == "fresh", (path, answer)
    wrong = client.get(SEARCH, {**query, "fresh": "x"})
    assert wrong.status_code == 422
    assert "'x' is not a freshness token of this project" in wrong.json()["detail"]


def test_a_caller_waits_no_longer_than_its_queries_may_take(rice, replicas, settings):
    settings.PGKNOWBASE = {**settings.PGKNOWBASE, "ANONYMOUS_QUERY_TIMEOUT": 0.01}
    query = SearchQuery(query="rice", fresh=change(rice), fresh_timeout=30, if_stale="error")
    with pytest.raises(NotYetFreshError, match=r"after 0\.01 s"):
        service.search(query, viewer=None)


# Tokens


def test_a_token_survives_its_text(rice):
    token = change(rice)
    assert str(FreshnessToken.parse(token)).split(":")[0] == token.split(":")[0]
    assert [written.key for written in FreshnessToken.parse(token).objects] == [str(rice.pk)]
    drain()
    # What is indexed when the token is taken is a part of its position.
    assert FreshnessToken.parse(freshness_token(rice)).objects == ()


def test_a_token_at_the_start_of_a_segment_waits_for_no_further_write(rice, replicas):
    """The primary's next record will stand behind the header of the page; replicas have replayed up to the header."""

    def switched():
        ask("default", "SELECT pg_switch_wal()::text")
        tokens.append(freshness_token())
        return FreshnessToken.parse(tokens[-1]).lsn % 2**24 == 0  # autovacuum may write too

    tokens = []
    until(switched)
    found = Article.objects.keyword_search("rice", fresh=tokens[-1], fresh_timeout=10, if_stale="error")
    assert [row.title for row in found] == ["Rice"]


@pytest.mark.parametrize("text", ["", "x", "x" * 10_000, 7, "WyIxIiwxLDEsW11d:1:x"])
def test_malformed_tokens(replicas, text):
    with pytest.raises(FreshnessError, match="is not a freshness token of this project: pass the whole text"):
        Article.objects.keyword_search("rice", fresh=text)


def test_tokens_of_another_cluster_and_of_the_future(rice, replicas):
    token = FreshnessToken.parse(freshness_token(rice))
    for other, message in (
        (replace(token, system="1"), "The token is of another cluster than 'replica_"),
        (replace(token, lsn=token.lsn + 2**40), "The token is of the future: its position 1:"),
        (replace(token, timeline=7), "The token is of the future: its position 7:"),
    ):
        for if_stale in ("primary", "pending", "error"):
            with pytest.raises(FreshnessError, match=message):
                titles(fresh=str(other), fresh_timeout=0, if_stale=if_stale)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fresh_timeout": 31}, "fresh_timeout 31 is out of range: pass a number from 0 to 30"),
        ({"if_stale": "never"}, "if_stale 'never' is unknown: pass 'primary', 'pending' or 'error'"),
    ],
)
def test_wrong_options(replicas, options, message):
    with pytest.raises(service.SearchError, match=message):
        Article.objects.keyword_search("rice", fresh=freshness_token(), **options)
    with pytest.raises(service.SearchError, match="are for a search with a token: pass fresh too"):
        Article.objects.keyword_search("rice", fresh_timeout=1)


def test_no_token_inside_a_transaction_nor_on_a_standby(rice, replicas):
    with transaction.atomic(), pytest.raises(FreshnessError, match="is not committed, so no replica can have it"):
        freshness_token(rice)
    with pytest.raises(FreshnessError, match="'replica_0' is a standby: take the token where rows are written"):
        freshness_token(using="replica_0")


def test_an_old_snapshot_is_refused(rice, replicas):
    token = freshness_token(rice)
    with transaction.atomic(using="replica_0"):
        with connections["replica_0"].cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        with pytest.raises(FreshnessError, match="is 'repeatable read' and sees what was there when it began"):
            list(Article.objects.using("replica_0").keyword_search("rice", fresh=token))


def test_routers_that_know_no_hint_are_not_given_one(transactional_db, settings):
    class Old:
        def db_for_read(self, model, instance=None):
            return "default"

    settings.DATABASE_ROUTERS = [Old()]
    assert titles() == []
    assert service.search(SearchQuery(query="rice"), viewer=UNRESTRICTED).results == []


# Servers that fail


def test_a_connection_that_is_cut_in_mid_search_goes_to_the_other_replica(rice, replicas, asked):
    found = Article.objects.keyword_search("rice")
    first = found.db
    ask("default", "SELECT 1")
    connections[first].ensure_connection()
    pid = connections[first].connection.info.backend_pid
    with connections.create_connection(first).cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s)", [pid])
        cursor.db.close()
    assert [row.title for row in found] == ["Rice"]
    assert found.db != first
    # It answers again, so others are sent there at once.
    assert {Article.objects.keyword_search("rice").db for _ in range(4)} == set(replicas)


def test_with_no_replica_left_the_primary_answers(rice, replicas, asked):
    for alias in replicas:
        connections[alias].close()
        servers.note_failure(alias, OperationalError("gone"))
    assert titles() == ["Rice"]
    assert service.search(SearchQuery(query="rice"), viewer=UNRESTRICTED).results
    assert set(asked) == {"default"}


def test_connections_that_are_cut_between_the_looks_of_a_search(rice, replicas, monkeypatch):
    """Whichever statement of a search with a token fails, another server answers."""
    token = change(rice)
    drain()
    for alias in replicas:
        caught_up(alias)
    for statement in ("pg_control_system", "pgknowbase_object_state_v1", "pgknowbase_search_keyword_v1"):
        cut = []

        def cut_once(execute, sql, params, many, context, statement=statement, cut=cut):
            if statement in sql and not cut:
                cut.append(context["connection"].alias)
                context["connection"].connection.close()
            return execute(sql, params, many, context)

        for alias in replicas:
            connections[alias].execute_wrappers.append(cut_once)
        assert titles("noodles", fresh=token, if_stale="error") == ["Rice"]
        assert cut[0] in replicas
        for alias in replicas:
            connections[alias].execute_wrappers.remove(cut_once)


def test_a_server_that_is_down(rice, two, alias, settings):
    """Nothing listens where this alias leads."""
    gone = type("Gone", (), {"data_dir": two[0].data_dir / "nowhere"})
    settings.PGKNOWBASE = {**settings.PGKNOWBASE, "REPLICAS": [alias("gone", gone), "replica_1"]}
    token = freshness_token(rice)
    for _ in range(3):
        servers.forget()
        assert titles() == ["Rice"]
        assert titles(fresh=token, fresh_timeout=0, if_stale="error") == ["Rice"]
    assert not servers.is_up("gone")
    assert {Article.objects.keyword_search("rice").db for _ in range(4)} == {"replica_1"}
    with pytest.raises(OperationalError):
        list(Article.objects.using("gone").keyword_search("rice"))


def test_the_doctor_names_replicas_that_cannot_be_read(rice, two, alias, settings):
    def findings():
        return {found.id: found for found in examine("default") if found.id.startswith("replica.")}

    assert findings() == {}
    change(rice)
    pause("replica_0")
    change(rice, "Fry the onions.")
    assert "and its replay is paused" in findings()["replica.behind"].what
    resume("replica_0")
    gone = type("Gone", (), {"data_dir": two[0].data_dir / "nowhere"})
    settings.PGKNOWBASE = {**settings.PGKNOWBASE, "REPLICAS": [alias("gone", gone)]}
    assert "The replica 'gone' does not answer" in findings()["replica.unreachable"].what


def test_the_examples_of_scaling_md(rice, replicas, capsys):
    page = Page("docs/scaling.md")
    names = page.run({"POSTGRES": connections["default"].settings_dict})
    assert names["DATABASE_ROUTERS"] == ROUTERS
    assert names["PGKNOWBASE"]["REPLICAS"] == ["replica_1", "replica_2"]
    found = page.run({"article": rice, "Article": Article})["found"]
    assert found.freshness == "fresh"
    with connections["default"].cursor() as cursor:
        cursor.execute(f"CREATE ROLE app; {page.take('sql')} DROP ROLE app")
        assert page.run({"Article": Article})["found"].is_partial is False
        cursor.execute(f"CREATE ROLE app; {page.take('sql')} DROP ROLE app")
    with TemporaryDirectory(prefix="pgk-") as place:
        Path(place).chmod(0o711)
        exec(page.take("python").replace("/tmp/try", place), {})
    assert "replica&port=" in capsys.readouterr().out
    assert not page.left


# Postgres 19


@pytest.fixture
def waits(replicas, monkeypatch):
    """The waits by WAIT FOR LSN, in order: alias, and seconds at most."""
    if connections["default"].pg_version < freshness.WAITS_FOR_LSN:
        pytest.skip("needs WAIT FOR LSN of Postgres 19")
    seen = []

    def wait(alias, lsn, seconds, real=gateway.wait_for_lsn):
        seen.append((alias, seconds))
        real(alias, lsn, seconds)

    monkeypatch.setattr(gateway, "wait_for_lsn", wait)
    return seen


@contextmanager
def once_waited_for(alias, then):
    """Call ``then`` while a session of this server is in WAIT FOR LSN."""
    waiting = "SELECT count(*) > 0 FROM pg_stat_activity WHERE wait_event = 'WaitForWalReplay'"

    def watch():
        until(lambda: ask(alias, waiting))
        then()
        connections.close_all()

    thread = threading.Thread(target=watch)
    thread.start()
    yield
    thread.join()


def test_one_replica_is_waited_for_by_one_statement(rice, replicas, waits, settings):
    settings.PGKNOWBASE = {**settings.PGKNOWBASE, "REPLICAS": ["replica_0"]}
    pause("replica_0")
    token = change(rice)
    drain()
    with once_waited_for("replica_0", lambda: resume("replica_0")):
        assert titles("noodles", fresh=token, fresh_timeout=30, if_stale="error") == ["Rice"]
    assert set(waits) == {("replica_0", freshness.LONGEST_WAIT)}


def test_several_replicas_are_waited_for_in_turn(rice, replicas, waits):
    for alias in replicas:
        pause(alias)
    token = change(rice)
    drain()
    with once_waited_for("replica_0", lambda: resume("replica_1")):
        assert titles("noodles", fresh=token, fresh_timeout=30, if_stale="error") == ["Rice"]
    assert {alias for alias, _ in waits} == set(replicas)
    assert max(seconds for _, seconds in waits) <= freshness.LONGEST_PAUSE


def test_a_wait_that_a_shorter_limit_of_the_server_ends(rice, replicas, waits, settings):
    settings.PGKNOWBASE = {**settings.PGKNOWBASE, "REPLICAS": ["replica_0"]}
    pause("replica_0")
    token = change(rice)
    drain()
    ask("replica_0", "SELECT set_config('statement_timeout', '200', false)")
    with once_waited_for("replica_0", lambda: (until(lambda: len(waits) > 2), resume("replica_0"))):
        assert titles("noodles", fresh=token, fresh_timeout=30, if_stale="error") == ["Rice"]


def test_a_replica_that_is_promoted_while_it_is_waited_for(rice, start_replica, alias, settings, waits):
    alias("soon", start_replica())
    settings.PGKNOWBASE = {**settings.PGKNOWBASE, "REPLICAS": ["soon"]}
    servers.forget()
    caught_up("soon")
    follow("soon", type("Gone", (), {"data_dir": "/nowhere"}))
    until(lambda: not ask("soon", "SELECT count(*) FROM pg_stat_wal_receiver"))
    token = change(rice)
    drain()
    with once_waited_for("soon", lambda: ask("soon", "SELECT pg_promote()")):
        found = Article.objects.keyword_search("noodles", fresh=token, fresh_timeout=30)
        assert [row.title for row in found] == ["Rice"]
    assert (found.db, found.freshness) == ("default", "fresh")


# Promotion, last because a promoted replica follows nobody


def test_promotion(rice, start_replica, alias, settings, replicas, caplog):
    """A replica becomes the primary, and the one that followed it follows on; tokens of the old primary stay right."""
    first, cascade = start_replica(), start_replica()
    for name, server in (("first", first), ("cascade", cascade)):
        alias(name, server)
    follow("cascade", first)
    settings.PGKNOWBASE = {**settings.PGKNOWBASE, "REPLICAS": ["first"]}
    before = freshness_token(rice)
    caught_up("first")
    caught_up("cascade")
    pause("first")
    change(rice, "Lost with the old primary.")
    lost = freshness_token()
    ask("first", "SELECT pg_promote()")
    until(lambda: not ask("first", "SELECT pg_is_in_recovery()"))
    servers.forget()
    # As a replica it is not asked any more.
    assert Article.objects.keyword_search("rice").db == "default"
    assert "The replica 'first' is not a standby: it was promoted" in caplog.text
    assert [found.id for found in examine("default") if found.id.startswith("replica.")] == ["replica.promoted"]
    settings.PGKNOWBASE = {**settings.PGKNOWBASE, "DATABASE": "first", "REPLICAS": ["cascade"]}
    servers.forget()
    until(lambda: ask("cascade", "SELECT received_tli FROM pg_stat_wal_receiver UNION ALL SELECT 0 LIMIT 1") == 2)
    for token in (before, lost):
        found = Article.objects.keyword_search("rice", fresh=token, fresh_timeout=30)
        assert [row.title for row in found] == ["Rice"]
        assert found.freshness == "promoted"
    new = freshness_token(using="first")
    assert FreshnessToken.parse(new).timeline == 2
    found = Article.objects.keyword_search("rice", fresh=new, fresh_timeout=30, if_stale="error")
    assert (found.db, found.freshness) == ("cascade", "fresh")
    # A replica that still follows the old primary has replayed larger numbers of another history.
    settings.PGKNOWBASE = {**settings.PGKNOWBASE, "REPLICAS": ["replica_0"]}
    servers.forget()
    while ask("default", f"SELECT pg_current_wal_lsn() < '{ask('first', 'SELECT pg_current_wal_lsn()::text')}'"):
        change(rice, "x" * 1000)
    caught_up("replica_0")
    found = Article.objects.keyword_search("rice", fresh=new, fresh_timeout=0)
    assert (found.db, found.freshness) == ("first", "fresh")
