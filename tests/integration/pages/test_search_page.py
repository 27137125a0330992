"""The search page shows what its visitor may see, as safe HTML, and says what is missing."""

import re
from contextlib import contextmanager
from datetime import timedelta
from html.parser import HTMLParser
from uuid import uuid4

import psycopg
import pytest
from django.contrib.auth.models import Permission
from django.db import connection
from django.template import engines
from django.urls import reverse
from django.utils import timezone

from pgknowbase.embeddings import serving
from pgknowbase.errors import ConfigurationError, RetryableEmbeddingError
from pgknowbase.models import EmbeddingSpace, ExternalData, OutboxEvent, WorkerHeartbeat
from pgknowbase.pages import views
from pgknowbase.pages.results import _link
from pgknowbase.pages.views import UNAVAILABLE, WORDS_ALONE, SearchView
from tests.fakes import RecordingEmbedder
from tests.projects.blog.models import Article, Note

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls("tests.integration.pages.site")]


def get(client, status=200, path="pgknowbase_pages:search", **params):
    response = client.get(reverse(path), params)
    assert response.status_code == status, response.content
    return response


def titles(response):
    return [re.sub("</?mark>", "", row.title) for row in response.context.get("results", [])]


def page(response):
    return " ".join(response.content.decode().split())


@contextmanager
def without_chunks():
    """The view of the chunks of the active space is gone, as in a database that was not migrated."""
    with connection.cursor() as cursor:
        cursor.execute("ALTER VIEW pgknowbase_chunk RENAME TO hidden_chunk")
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute("ALTER VIEW hidden_chunk RENAME TO pgknowbase_chunk")


# What is found, and by whom


def test_anonymous_visitors_see_what_is_public(client, library):
    response = get(client, q="bread")
    assert len(titles(response)) == 4
    assert "secret" not in page(response)
    assert "Results 1 to 4" in page(response)


def test_users_see_their_own(client, library, ann, root):
    client.force_login(ann)
    assert len(titles(get(client, q="bread"))) == 5
    assert titles(get(client, q="bread secret"))[0] == "Ann&#x27;s secret bread" or "secret" in page(
        get(client, q="bread secret")
    )
    client.force_login(root)
    assert len(titles(get(client, q="bread"))) == 6


def test_one_model(client, library, ann):
    client.force_login(ann)
    found = get(client, q="bread", model="blog.Article")
    assert len(titles(found)) == 1
    assert get(client, q="bread", model="blog.Nothing", status=400).context["form"].errors["model"]
    # The page over one model has no such choice.
    assert "model" not in get(client, path="notes").context["form"].fields
    assert len(titles(get(client, path="notes", q="bread"))) == 4


def test_pages(client, library, root):
    client.force_login(root)
    first = get(client, path="strict", q="bread")
    second = get(client, path="strict", q="bread", page=2)
    third = get(client, path="strict", q="bread", page=3)
    assert (len(first.context["results"]), len(second.context["results"])) == (3, 3)
    keys = [row.result.id for response in (first, second) for row in response.context["results"]]
    assert len(set(keys)) == 6
    assert '<a href="?q=bread&amp;page=2" rel="next">' in page(first)
    assert 'rel="prev"' in page(second)
    assert 'start="4"' in page(second)
    assert "There are no more results." in page(third)
    assert 'rel="next"' not in page(second)


# HTML


class Tags(HTMLParser):
    def __init__(self):
        super().__init__()
        self.seen = []

    def handle_starttag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))


def tags(response):
    parser = Tags()
    parser.feed(response.content.decode())
    return parser.seen


def test_texts_are_escaped_and_words_are_marked(client, library, ann):
    client.force_login(ann)
    response = get(client, q='butter secret "><script>alert(2)</script>')
    names = [name for name, _ in tags(response)]
    assert "script" not in names
    assert "b" not in names
    assert "i" not in names
    assert "<mark>butter</mark>" in page(response)
    assert "<mark>secret</mark>" in page(response)
    assert "&lt;script&gt;" in page(response)


def test_no_inline_scripts_and_styles(client, library):
    for _, attributes in tags(get(client, q="bread")):
        assert not any(name.startswith("on") or name == "style" for name in attributes)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("/notes/1/", "/notes/1/"),
        ("https://example.org/", "https://example.org/"),
        ("javascript:alert(1)", ""),
        ("JavaScript:alert(1)", ""),
        ("data:text/html,x", ""),
        ("http://[", ""),
        (None, ""),
    ],
)
def test_links_lead_to_pages(url, shown):
    assert _link(url) == shown


def test_blocks_can_be_overridden(client, library):
    template = engines["django"].from_string(
        '{% extends "pgknowbase/search.html" %}{% block heading %}<h1>Find</h1>{% endblock %}'
        "{% block result %}[{{ row.kind }}]{% endblock %}"
    )
    response = get(client, q="bread")
    shown = template.render(response.context_data)
    assert "<h1>Find</h1>" in shown
    assert shown.count("[Note]") == 4


# What cannot be answered


def test_without_a_text(client, library):
    assert "results" not in get(client).context
    assert "Type what you are looking for." in page(get(client, q=" ", status=400))


@pytest.mark.parametrize("number", ["0", "-1", "x", "1.5", "99999999999999999999", "10000", "²"])
def test_pages_that_are_none(client, library, number):
    response = get(client, q="bread", page=number, status=400)
    assert 'role="alert"' in page(response)


@pytest.mark.parametrize(
    "text",
    [
        "\0",
        "'",
        '"',
        "%",
        "\\",
        "a' OR 1=1 --",
        "-",
        "-bread",
        "OR",
        "title:",
        "*",
        "\U0001d518\u200b",
        "(((",
        "{{ x }}",
    ],
)
def test_any_text(client, library, text):
    assert client.get(reverse("pgknowbase_pages:search"), {"q": text}).status_code in (200, 400)
    assert client.get(reverse("pgknowbase_pages:search"), {"q": text, "page": "2"}).status_code in (200, 400)


def test_a_long_text(client, library):
    assert "pass at most 10000" in page(get(client, q="x" * 10_001, status=400))


def test_other_methods(client, library):
    assert client.post(reverse("pgknowbase_pages:search"), {"q": "bread"}).status_code == 405
    assert client.head(reverse("pgknowbase_pages:search"), {"q": "bread"}).status_code == 200


@pytest.fixture
def down(monkeypatch):
    embedder = RecordingEmbedder()

    def fail(text):
        raise RetryableEmbeddingError("the provider at http://internal cannot be reached")

    embedder.vector = fail
    monkeypatch.setattr(serving, "get_embedder", lambda alias=None: embedder)


def test_provider_down(client, library, down, monkeypatch):
    response = get(client, q="rye bread")
    assert WORDS_ALONE in page(response)
    assert titles(response)[0].startswith("Rye")
    assert "internal" not in page(response)


def test_provider_down_and_no_words(client, library, down, monkeypatch):
    monkeypatch.setattr(SearchView, "mode", "semantic")
    assert WORDS_ALONE in page(get(client, q="rye bread"))


def test_no_space(client, library, root):
    EmbeddingSpace.objects.update(is_active=False)
    try:
        assert UNAVAILABLE in page(get(client, q="bread", status=503))
        client.force_login(root)
        assert "run &#x27;manage.py migrate&#x27;" in page(get(client, q="bread", status=503))
    finally:
        EmbeddingSpace.objects.update(is_active=True)


def test_too_slow(client, library, settings):
    settings.PGKNOWBASE = {**settings.PGKNOWBASE, "QUERY_TIMEOUT": 0.5, "ANONYMOUS_QUERY_TIMEOUT": 0.2}
    with psycopg.connect(**connection.get_connection_params() | {"cursor_factory": psycopg.Cursor}) as other:
        other.execute("LOCK TABLE pgknowbase_document, pgknowbase_externaldata IN ACCESS EXCLUSIVE MODE")
        assert "longer than 0.2 s" in page(get(client, q="bread", status=503))
        other.rollback()


def test_in_a_transaction_for_each_request(client, library, ann, monkeypatch):
    monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", True)
    ann.user_permissions.add(Permission.objects.get(codename="view_externaldata"))
    client.force_login(ann)
    with without_chunks():
        # Whether ann may know why is asked for after the statement that failed.
        assert "run &#x27;manage.py migrate&#x27;" in page(get(client, q="bread", status=503))
    assert len(titles(get(client, q="bread"))) == 5


def test_visitors_must_sign_in_where_the_api_says_so(client, library, settings, ann):
    settings.PGKNOWBASE = {**settings.PGKNOWBASE, "API": {"ANONYMOUS_SEARCH": False}}
    response = get(client, q="bread", status=302)
    assert response.headers["Location"] == "/accounts/login/?next=/search/%3Fq%3Dbread"
    client.force_login(ann)
    assert titles(get(client, q="bread"))


def test_visitors_have_a_rate(client, library, settings):
    settings.PGKNOWBASE = {**settings.PGKNOWBASE, "API": {"ANONYMOUS_RATE": "2/hour"}}
    get(client, q="bread")
    get(client, q="bread")
    assert "More than 2 requests" in page(get(client, q="bread", status=429))


# What is missing


def missing(client, **params):
    response = get(client, **params)
    assert not response.context["results"]
    return response.context.get("hints")


def test_strangers_learn_nothing_of_what_is_there(client, library):
    ExternalData.objects.update(is_public=False)
    assert missing(client, q="bread") is None
    assert "Try other words" in page(get(client, q="bread"))


def test_no_rows(client, root):
    OutboxEvent.objects.all().delete()
    client.force_login(root)
    assert missing(client, path="notes", q="bread") == ["There are no rows to find: notes."]


def test_rows_that_the_index_does_not_know(client, root):
    Note.notes.create(text="bread")
    OutboxEvent.objects.all().delete()
    client.force_login(root)
    assert missing(client, path="notes", q="bread") == [
        "There are rows, but the index knows none of them: run 'manage.py sync_external_models'."
    ]


def test_no_worker(client, root):
    Note.notes.create(text="bread")
    client.force_login(root)
    worker = "No worker is running: start 'manage.py pgknowbase_worker'."
    assert missing(client, path="notes", q="bread") == ["1 changes wait for a worker.", worker]
    now = timezone.now()
    WorkerHeartbeat.objects.create(id=uuid4(), host="h", pid=1, role="both", started_at=now, beat_at=now)
    assert missing(client, path="notes", q="bread") == ["1 changes wait for a worker."]
    WorkerHeartbeat.objects.update(beat_at=now - timedelta(hours=1))
    assert worker in missing(client, path="notes", q="bread")


def test_nothing_embedded(client, root):
    Note.notes.create(text="bread")
    Note.notes.get().sync_to_external_data()
    OutboxEvent.objects.all().delete()
    client.force_login(root)
    found = missing(client, path="notes", q="soup")
    assert "1 objects are not embedded yet, or failed: see 'manage.py pgknowbase_status'." in found


def test_hidden_objects_and_who_may_know_of_them(client, library, ann):
    ExternalData.objects.update(is_public=False, owner=None)
    client.force_login(ann)
    assert missing(client, q="bread") is None
    ann.user_permissions.add(Permission.objects.get(codename="view_externaldata"))
    client.force_login(ann)
    assert missing(client, q="bread") == ["6 more would pass, but the viewer may not see them."]


def test_filters_that_leave_out_everything(client, library, root, monkeypatch):
    asked = SearchView.get_question
    monkeypatch.setattr(
        SearchView, "get_question", lambda *args: asked(*args).model_copy(update={"metadata": {"year": 1999}})
    )
    client.force_login(root)
    assert missing(client, q="bread") == ["The filters leave out all 6 objects that the index has."]


def test_on_a_developers_machine(client, settings):
    settings.DEBUG = True
    OutboxEvent.objects.all().delete()
    assert "There are no rows to find" in missing(client, q="bread")[0]


def test_another_model_has_more(client, library, ann):
    client.force_login(ann)
    ExternalData.objects.filter(content_type__model="article").update(is_active=False)
    response = get(client, q="bread", model="blog.Article")
    assert '<a href="?q=bread&amp;model=&amp;page=1">Search everything</a>' in page(response)


def test_unavailable(client, library, monkeypatch, down):
    monkeypatch.setattr(SearchView, "mode", "keyword")

    def fail(*args, **kwargs):
        raise ConfigurationError("the key 'x' is wrong: correct it")

    monkeypatch.setattr(views.service, "search", fail)
    response = get(client, q="bread", status=503)
    assert UNAVAILABLE in page(response)
    assert "the key" not in page(response)


def test_articles_of_the_site_are_searched_by_class_and_label(client, library, root):
    client.force_login(root)
    assert {row.result.model for row in get(client, path="strict", q="bread").context["results"]} <= {
        "blog.Article",
        "blog.Note",
    }
    assert Article.objects.count() == 2
