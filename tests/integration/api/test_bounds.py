"""What one request can cost is bounded before any work begins, and the error names the bound."""

import contextlib
import gc
import json
import threading

import pytest
from django.db import connections
from django.test import RequestFactory

from pgknowbase.api.authentication import Caller
from pgknowbase.api.events import Event, event_stream
from pgknowbase.api.problems import Problem
from pgknowbase.api.streams import open_streams
from pgknowbase.core import gateway
from pgknowbase.core.time_limit import time_limit
from pgknowbase.errors import QueryTimeoutError, SearchError
from pgknowbase.models import ExternalData
from pgknowbase.search import service
from pgknowbase.search.filters import compile_metadata
from pgknowbase.search.questions import SearchQuery
from tests.integration.api.conftest import SEARCH, SIMILAR, Asker, problem, titles
from tests.projects.blog.models import Note

pytestmark = pytest.mark.django_db(transaction=True)

TOO_MUCH = {
    "metadata, keys times values": (
        {"metadata": {f"k{key}": {"in": list(range(500))} for key in range(100)}},
        "more than 500 keys and values in all",
    ),
    "metadata, operators": (
        {"metadata": {f"k{key}": {"gte": 1, "lt": 5} for key in range(120)}},
        "more than 500 keys and values in all",
    ),
    "metadata, nested lists": (
        {"metadata": {"k": {"contains": [[[n] for n in range(30)] for _ in range(30)]}}},
        "more than 500 keys and values in all",
    ),
    "metadata, characters": (
        {"metadata": {f"k{key}": "x" * 1000 for key in range(30)}},
        "more than 20000 characters in all",
    ),
    "metadata, long numbers": (
        {"metadata": {f"k{key}": 10**290 for key in range(100)}},
        "more than 20000 characters in all",
    ),
    "metadata, depth": (
        {"metadata": {"k": {"contains": [[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]}}},
        "20 deep",
    ),
    "models": ({"models": ["blog.Note"] * 501}, "at most 500"),
    "tags": ({"tags": ["x"] * 101}, "at most 100"),
    "tags, characters": ({"tags": [f"{n}" * 200 for n in range(100)]}, "at most 10000 in all"),
    "query": ({"query": "x" * 10_001}, "at most 10000"),
    "offset": ({"offset": 1001}, "less than or equal to 1000"),
}


@pytest.mark.parametrize(("asked", "said"), TOO_MUCH.values(), ids=TOO_MUCH)
def test_a_search_is_bounded_in_total(library, asked, said):
    refused = problem(Asker.nobody().post(SEARCH, {"query": "x", "mode": "keyword", **asked}), 422)
    assert said in refused["detail"]


def test_the_bounds_hold_for_a_project_s_own_calls(library):
    with pytest.raises(SearchError, match="501 entries: pass at most 500"):
        ExternalData.objects.search("x", models=[Note] * 501)
    with pytest.raises(SearchError, match="more than 500 keys and values"):
        Note.notes.keyword_search("x", metadata={f"k{key}": {"in": range(500)} for key in range(100)})


def test_a_model_that_is_named_many_times_is_searched_once(library):
    asked = {"query": "public", "mode": "keyword", "models": ["blog.Note", "blog.note", "blog.Note"] * 100}
    assert titles(Asker.nobody().post(SEARCH, asked)) == ["public near 0.6"]
    many = ExternalData.objects.search("public", models=[Note] * 300, mode="keyword")
    once = ExternalData.objects.search("public", models=[Note], mode="keyword")
    assert many._search.filters("default") == once._search.filters("default")


def test_one_of_many_values_is_looked_up_once_per_object():
    assert compile_metadata({"k": {"in": ["a", 2]}}).matching == 'strict exists($."k" ? (@ == "a" || @ == 2))'


LONG = {
    "CJK": "".join(chr(0x4E00 + number) for number in range(9_000)),
    "CJK, each alone": " ".join(chr(0x4E00 + number) for number in range(4_900)),
    "words": " ".join(f"w{number}x" for number in range(1_400)),
    "expanding": "\ufdfa" * 9_000,
}


@pytest.mark.parametrize("text", LONG.values(), ids=LONG)
def test_a_long_text_is_cut_before_its_words_are_looked_for(library, text):
    with connections["default"].cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pgknowbase_query_tokens('simple', %s)", [text])
        assert cursor.fetchone()[0] <= 100
        cursor.execute("SELECT count(DISTINCT token) FROM pgknowbase_tokenize_query(%s, NULL)", [text])
        assert cursor.fetchone()[0] <= 100
    assert titles(Asker.nobody().post(SEARCH, {"query": text, "mode": "keyword"})) == []


def rarest(documents, *, at_most, max_pairs):
    """Which words stay, by their place; each has these documents, and stands there in two languages."""
    terms = [
        {"token": token, "language": language, "word": f"'w{token}'", "documents": number}
        for token, number in enumerate(documents)
        for language in ("english", "german")
    ]
    with connections["default"].cursor() as cursor:
        cursor.execute("SELECT pgknowbase_rarest_words(%s, %s, %s)", [json.dumps(terms), at_most, max_pairs])
        return [(term["token"], term["language"]) for term in json.loads(cursor.fetchone()[0])]


def test_of_many_common_words_the_rarest_are_asked_for():
    kept = rarest([900, 5, 70_000, 300, 0], at_most=1000, max_pairs=1500)
    assert kept == [(token, language) for token in (0, 1, 3, 4) for language in ("english", "german")]
    assert len(rarest([900, 5, 70_000, 300, 0], at_most=200, max_pairs=605)) == 2 * 5
    assert [token for token, _ in rarest([70_000, 80_000], at_most=90_000, max_pairs=10)] == [0, 0]


# Time


@contextlib.contextmanager
def locked(table):
    """Another session holds the table, so that every query of it waits."""
    held, done = threading.Event(), threading.Event()

    def hold():
        connection = connections["default"].copy()
        with contextlib.closing(connection), connection.cursor() as cursor:
            cursor.execute("BEGIN")
            cursor.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
            held.set()
            done.wait(60)
            cursor.execute("ROLLBACK")

    thread = threading.Thread(target=hold)
    thread.start()
    assert held.wait(60)
    try:
        yield
    finally:
        done.set()
        thread.join()


@pytest.fixture
def impatient(settings):
    settings.PGKNOWBASE = {**settings.PGKNOWBASE, "QUERY_TIMEOUT": 0.1}


def timeout():
    return gateway.fetch_value("default", "exchange_statement_timeout", timeout="0")


@pytest.mark.parametrize("mode", ["keyword", "semantic", "hybrid"])
def test_a_search_has_a_time_limit(library, impatient, settings, mode):
    with locked("pgknowbase_externaldata"):
        refused = problem(Asker.nobody().post(SEARCH, {"query": "public near 0.6", "mode": mode}), 503, "query-timeout")
    assert "longer than 0.1 s, the limit of PGKNOWBASE['QUERY_TIMEOUT']" in refused["detail"]
    settings.PGKNOWBASE = {**settings.PGKNOWBASE, "QUERY_TIMEOUT": 60}
    assert titles(Asker.nobody().post(SEARCH, {"query": "public near 0.6", "mode": mode}))
    assert timeout() == "0"


def test_every_read_of_a_caller_has_a_time_limit(library, users, impatient):
    note = Note.notes.get()
    with locked("pgknowbase_externaldata"):
        problem(Asker.nobody().get(SIMILAR, model="blog.Note", key=str(note.pk)), 503, "query-timeout")
        with pytest.raises(QueryTimeoutError):
            list(Note.notes.keyword_search("public"))
        with pytest.raises(QueryTimeoutError):
            list(Note.notes.filter(text__contains="p").hybrid_search("public near 0.6", limit=3))
        with pytest.raises(QueryTimeoutError):
            service.search(SearchQuery(query="public", mode="keyword"), viewer=users["ann"])
    with locked("pgknowbase_agent_execution"):
        problem(Asker.session(users["ann"]).get("/api/orchestrator/executions/"), 503, "query-timeout")
    with locked("pgknowbase_chat_session"):
        problem(Asker.session(users["ann"]).get("/api/chat/sessions/"), 503, "query-timeout")


ANONYMOUS = "longer than 0.2 s, the limit of PGKNOWBASE['ANONYMOUS_QUERY_TIMEOUT']"


def test_callers_who_are_not_signed_in_have_less_time(library, users, settings):
    settings.PGKNOWBASE = {**settings.PGKNOWBASE, "QUERY_TIMEOUT": 0.4, "ANONYMOUS_QUERY_TIMEOUT": 0.2}
    note = Note.notes.get()
    asked = {"query": "public", "mode": "keyword"}
    with locked("pgknowbase_externaldata"):
        assert ANONYMOUS in problem(Asker.nobody().post(SEARCH, asked), 503)["detail"]
        for route, of in ((SEARCH, asked), (SIMILAR, {"model": "blog.Note", "key": str(note.pk)})):
            assert ANONYMOUS in problem(Asker.nobody().get(route, **of), 503)["detail"]
        assert "['QUERY_TIMEOUT']" in problem(Asker.session(users["ann"]).post(SEARCH, asked), 503)["detail"]
    settings.PGKNOWBASE = {**settings.PGKNOWBASE, "QUERY_TIMEOUT": 0.1, "ANONYMOUS_QUERY_TIMEOUT": None}
    with locked("pgknowbase_externaldata"):
        assert "['QUERY_TIMEOUT']" in problem(Asker.nobody().post(SEARCH, asked), 503)["detail"]


def sleep(seconds, times=1):
    with connections["default"].cursor() as cursor:
        for _ in range(times):
            cursor.execute("SELECT pg_sleep(%s)", [seconds])


def test_the_statements_of_a_request_share_one_limit(library, settings):
    settings.PGKNOWBASE = {**settings.PGKNOWBASE, "QUERY_TIMEOUT": 0.8, "ANONYMOUS_QUERY_TIMEOUT": 0.4}
    with time_limit("default"):
        with pytest.raises(QueryTimeoutError, match="ANONYMOUS"), time_limit("default", anonymous=True):
            sleep(0.25, times=2)
        with pytest.raises(QueryTimeoutError, match=r"\['QUERY_TIMEOUT'\]"):
            sleep(0.25, times=3)
    sleep(0.01)


def test_a_limited_statement_is_one_message(library):
    """The limit costs no round trip of its own, and ends with its statement."""
    with connections["default"].cursor() as cursor:
        cursor.execute("SELECT pg_stat_clear_snapshot()")
        pid = connections["default"].connection.info.backend_pid
        with time_limit("default"):
            cursor.execute("SELECT query, %s FROM pg_stat_activity WHERE pid = %s", ["100%", pid])
            ((query, text),) = cursor.fetchall()
            assert "SET LOCAL statement_timeout" in query
            assert "pg_stat_activity" in query
            assert text == "100%"
            cursor.execute("SELECT current_setting('statement_timeout')")
            assert cursor.fetchone()[0].endswith("ms"), "what is left of five seconds"
        cursor.execute("SELECT current_setting('statement_timeout')")
        assert cursor.fetchone() == ("0",)


def test_a_transaction_keeps_its_own_limit(library, impatient):
    from django.db import transaction

    with transaction.atomic():
        gateway.fetch("default", "set_statement_timeout", timeout="7s")
        assert list(Note.notes.keyword_search("public"))
        assert timeout() == "7s"


# Streams


def request_of(user, address="1.2.3.4"):
    request = RequestFactory().get("/", REMOTE_ADDR=address)
    request.auth = Caller(user)
    return request


async def events():
    yield Event("one", 1)


def test_open_streams_are_bounded_per_caller(users, settings):
    settings.PGKNOWBASE = {**settings.PGKNOWBASE, "API": {"MAX_STREAMS": 2}}
    first, second = (event_stream(request_of(users["ann"]), events()) for _ in range(2))
    with pytest.raises(Problem, match="2 streams open") as refused:
        event_stream(request_of(users["ann"], address="9.9.9.9"), events())
    assert refused.value.status == 429
    others = [event_stream(request_of(who), events()) for who in (users["bob"], None)]
    assert b"".join(first.streaming_content)  # read to its end
    second.close()  # never read
    second.close()
    others += [event_stream(request_of(users["ann"]), events()) for _ in range(2)]
    with pytest.raises(Problem):
        event_stream(request_of(users["ann"]), events())
    for stream in (first, *others):
        stream.close()
    for who in ("ann", "bob"):
        assert not open_streams._open[f"user:{users[who].pk}"]


def test_a_stream_that_nobody_closes_counts_no_longer_than_its_response(users, settings):
    settings.PGKNOWBASE = {**settings.PGKNOWBASE, "API": {"MAX_STREAMS": 1}}
    for _ in range(3):
        response = event_stream(request_of(users["ann"]), events())
        del response
        gc.collect()
