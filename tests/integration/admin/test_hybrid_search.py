"""The search box of a source model's changelist: hybrid, and everything else of the list goes on working."""

from contextlib import contextmanager

import psycopg
import pytest
from django.contrib import admin
from django.contrib.admin import AdminSite
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.urls import reverse

from pgknowbase.admin import HybridSearchAdminMixin
from pgknowbase.embeddings import serving
from pgknowbase.errors import RetryableEmbeddingError
from pgknowbase.models import ExternalData, OutboxEvent
from pgknowbase.search.queries import while_typing
from tests.fakes import RecordingEmbedder
from tests.integration.admin.newsdesk import newsdesk
from tests.integration.pages.test_search_page import without_chunks
from tests.projects.blog.models import Article, Category
from tests.projects.press import models as press

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls("tests.integration.admin.newsdesk")]

LIST = "newsdesk:blog_article_changelist"
BREAD = ["Sourdough bread", "Rye bread", "Bread and butter", "White bread", "Corn bread", "Flat bread"]
OTHERS = ["Repairing a bicycle", "Tax receipts", "Growing tomatoes"]


@pytest.fixture
def ada(client):
    """The signed in superuser."""
    user = User.objects.create_superuser("ada")
    client.force_login(user)
    return user


@pytest.fixture
def articles(ada, drain):
    """Six of bread, every second one a draft, and three of other things, the most read first by default."""
    OutboxEvent.objects.all().delete()
    for number, title in enumerate([*BREAD, *OTHERS]):
        status = "draft" if number % 2 else "published"
        Article.objects.create(title=title, body=f"About: {title}.", author=ada, views=number, status=status)
    drain()


@pytest.fixture
def down(monkeypatch):
    """A provider that is not there."""
    embedder = RecordingEmbedder()

    def fail(text):
        raise RetryableEmbeddingError("the provider 'x' cannot be reached: try later")

    embedder.vector = fail
    monkeypatch.setattr(serving, "get_embedder", lambda alias=None: embedder)


def titles(response):
    assert response.status_code == 200, response.headers
    return [row.title for row in response.context["cl"].result_list]


def said(response):
    return [str(message) for message in response.context["messages"]]


def get(client, name=LIST, **params):
    return client.get(reverse(name), params)


# What is found, and in which order


def test_by_meaning_best_first(client, articles):
    response = get(client, q="fixing a bike")
    assert titles(response)[0] == "Repairing a bicycle"
    assert response.context["cl"].get_ordering_field_columns() == {}
    assert said(response) == []


def test_by_words_and_forms(client, articles):
    assert titles(get(client, q="bicycle -bread"))[0] == "Repairing a bicycle"
    assert set(titles(get(client, q='"rye bread"'))) == {"Rye bread"}
    assert set(titles(get(client, q="tomat*"))) == {"Growing tomatoes"}


def test_without_a_text_the_list_is_as_before(client, articles):
    response = get(client)
    assert titles(response) == [*reversed([*BREAD, *OTHERS])][:4]
    assert titles(get(client, q="   ")) == titles(response)
    assert response.context["cl"].get_ordering_field_columns() == {3: "desc"}


def test_the_order_of_the_user(client, articles):
    response = get(client, q='"bread"', o="1")
    assert titles(response) == sorted(BREAD)[:4]
    assert response.context["cl"].get_ordering_field_columns() == {1: "asc"}
    assert titles(get(client, q='"bread"', o="-3")) == BREAD[::-1][:4]
    # No column is left: by relevance again.
    assert titles(get(client, q="sourdough", o=""))[0] == "Sourdough bread"


def test_filters_hold_inside_the_search_and_counts_are_right(client, articles, monkeypatch):
    monkeypatch.setattr(newsdesk.get_model_admin(Article), "hybrid_search_limit", 3)
    response = get(client, q="bread", status__exact="draft")
    assert set(titles(response)) == {"Rye bread", "White bread", "Flat bread"}
    assert (response.context["cl"].result_count, response.context["cl"].full_result_count) == (3, 9)


def test_facets(client, articles):
    page = get(client, q='"bread"').content.decode()
    assert "draft (3)" in page
    assert "published (3)" in page


def test_pages_follow_each_other(client, articles):
    first, second = (titles(get(client, q='"bread"', p=page)) for page in (1, 2))
    assert (len(first), len(second)) == (4, 2)
    assert set(first) | set(second) == set(BREAD)
    assert titles(get(client, q='"bread"', all="")) == first + second


def test_a_filter_with_duplicates(client, ada, drain):
    tags = [press.Tag.objects.create(name=name) for name in ("food", "food")]
    for title in BREAD:
        press.Article.objects.create(title=title, body="flour").tags.set(tags)
    drain()
    response = get(client, "newsdesk:press_article_changelist", q="rye bread", tags__name="food")
    found = titles(response)
    assert found[0] == "Rye bread"
    assert len(found) == len(set(found)) == response.context["cl"].result_count == 6


# The rest of the list


def test_an_action_on_all_pages(client, articles):
    chosen = Article.objects.get(title="Rye bread")
    asked = {"action": "archive", "_selected_action": [chosen.pk], "select_across": "1", "index": 0}
    response = client.post(f"{reverse(LIST)}?q=%22bread%22", asked, follow=True)
    assert said(response) == ["6 archived."]
    assert set(Article.objects.filter(status="archived").values_list("title", flat=True)) == set(BREAD)
    client.post(f"{reverse(LIST)}?q=bicycle+-bread&status__exact=published", {**asked, "select_across": "0"})
    assert Article.objects.filter(status="archived").count() == 6


def test_delete_selected_on_all_pages(client, articles):
    asked = {"action": "delete_selected", "_selected_action": [1], "select_across": "1", "index": 0, "post": "yes"}
    client.post(f"{reverse(LIST)}?q=%22bread%22", asked, follow=True)
    assert set(Article.objects.values_list("title", flat=True)) == set(OTHERS)


def test_rows_are_edited_in_the_list(client, articles):
    shown = get(client, q="bicycle -bread").context["cl"]
    form = {"form-TOTAL_FORMS": len(shown.result_list), "form-INITIAL_FORMS": len(shown.result_list), "_save": "Save"}
    for number, row in enumerate(shown.result_list):
        form |= {f"form-{number}-id": row.pk, f"form-{number}-status": "edited"}
    response = client.post(f"{reverse(LIST)}?q=bicycle+-bread", form, follow=True)
    assert response.status_code == 200
    assert Article.objects.get(title="Repairing a bicycle").status == "edited"
    assert not Article.objects.filter(title__in=BREAD, status="edited").exists()


def test_dates(client, articles, ada):
    year = ada.date_joined.year
    assert set(titles(get(client, q='"bread"', author__date_joined__year=year, all=""))) == set(BREAD)
    assert titles(get(client, q="bread", author__date_joined__year=1999)) == []
    assert str(year) in get(client, q="bread").content.decode()


def test_popups(client, articles):
    page = get(client, q="bicycle -bread", _popup=1, _to_field="id").content.decode()
    assert 'data-popup-opener="' in page
    assert "Repairing a bicycle" in page


def test_help_and_fields(client, articles):
    assert "Finds the 100 best by meaning and by words." in get(client).content.decode()
    assert "Titles, please." in get(client, "newsdesk:press_article_changelist").content.decode()
    assert newsdesk.get_model_admin(Article).search_fields == ("title", "body")
    assert newsdesk.get_model_admin(press.Article).search_fields == ["title", "author__name"]


def test_a_row_that_no_worker_has_seen(client, articles):
    Article.objects.create(title="Zebra", body="Stripes.")
    assert titles(get(client, q="zebra"))[0] in {"Zebra", *titles(get(client, q="zebra"))}
    assert "Zebra" in titles(get(client, q="zebra"))


# Rights


@pytest.fixture
def editor(articles):
    """May see articles, in a list of his own ones: the last three of bread."""
    user = User.objects.create_user("editor", is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="view_article", content_type__app_label="blog"))
    Article.objects.filter(title__in=BREAD[3:]).update(author=user)
    return user


def test_what_the_list_leaves_out_is_not_found(client, editor, monkeypatch):
    monkeypatch.setattr(newsdesk.get_model_admin(Article), "hybrid_search_limit", 3)
    client.force_login(editor)
    # As many as there are, although others are nearer.
    assert set(titles(get(client, q="sourdough rye butter bread"))) == set(BREAD[3:])
    assert titles(get(client, q="bicycle -bread")) == []


def test_rights_in_the_index(client, editor, drain, monkeypatch):
    drain()
    monkeypatch.setattr(HybridSearchAdminMixin, "get_search_viewer", lambda self, request: request.user)
    monkeypatch.setattr(type(newsdesk.get_model_admin(Article)), "get_queryset", admin.ModelAdmin.get_queryset)
    client.force_login(editor)
    assert set(titles(get(client, q="bread"))) == set(BREAD[3:])


def test_without_permission(client, articles):
    client.force_login(User.objects.create_user("guest", is_staff=True))
    assert get(client, q="bread").status_code == 403


# Where the index cannot answer


def test_provider_down(client, articles, down):
    response = get(client, q="rye breads")
    assert set(titles(response)) <= set(BREAD)
    assert titles(response)[0] == "Rye bread"
    assert said(response) == ["Found by words alone, not by meaning: the provider 'x' cannot be reached: try later"]


def test_what_a_provider_says_is_not_for_everybody(client, editor, down):
    client.force_login(editor)
    assert said(get(client, q="bread")) == [
        "Found by words alone, not by meaning: an administrator can see why in the log."
    ]


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        ("changes", "of articles nothing is indexed yet, and changes wait, and no worker is running."),
        (
            "waiting",
            "of articles nothing is embedded yet, and no worker is running: 'manage.py pgknowbase_status' says more.",
        ),
        ("nothing", "of articles nothing is indexed: run 'manage.py sync_external_models blog.Article'."),
    ],
)
def test_nothing_indexed(client, ada, state, reason):
    Article.objects.create(title="Sourdough bread", body="Flour.")
    if state == "waiting":
        Article.objects.get().sync_to_external_data()
    if state != "changes":
        OutboxEvent.objects.all().delete()
    response = get(client, q="ourdoug")
    assert titles(response) == ["Sourdough bread"]
    assert said(response) == [f"Found by the text of the fields title, body alone: {reason}"]


def test_nothing_matches(client, articles, monkeypatch):
    ExternalData.objects.update(similarity_threshold=1)
    response = get(client, q="icycl")
    assert titles(response) == ["Repairing a bicycle"]
    assert said(response) == ["Found by the text of the fields title, body alone: nothing in the index matches."]
    # An action says nothing; the list that it leads to does.
    asked = {"action": "archive", "_selected_action": [1], "select_across": "1", "index": 0}
    assert said(client.post(f"{reverse(LIST)}?q=icycl", asked, follow=True))[0] == "1 archived."


@pytest.mark.parametrize(
    "text",
    [
        "x" * 10_001,
        "\0",
        "'",
        '"',
        "''''",
        "%",
        "_",
        "\\",
        "a' OR 1=1 --",
        "-",
        "-bread",
        "OR",
        "title:",
        "*",
        "\U0001d518\u200b",
        "(((",
        "🍞",
    ],
)
def test_any_text(client, articles, text):
    response = get(client, q=text)
    assert response.status_code == 200
    if len(text) > 10_000:
        assert titles(response) == []
        assert "pass at most 10000" in said(response)[0]


@contextmanager
def locked_documents():
    """Nobody reads a document meanwhile."""
    with psycopg.connect(**connection.get_connection_params() | {"cursor_factory": psycopg.Cursor}) as other:
        other.execute("LOCK TABLE pgknowbase_document, pgknowbase_externaldata IN ACCESS EXCLUSIVE MODE")
        yield
        other.rollback()


def test_a_search_that_takes_too_long(client, articles, settings):
    settings.PGKNOWBASE = {**settings.PGKNOWBASE, "QUERY_TIMEOUT": 0.5}
    with locked_documents():
        response = get(client, q="bread")
        assert titles(response) == []
    assert "took longer than 0.5 s" in said(response)[0]


def test_in_a_transaction_for_each_request(client, articles, monkeypatch):
    monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", True)
    with without_chunks():
        # The fields are searched after the statements that failed.
        response = get(client, q="icycl")
        assert titles(response) == ["Repairing a bicycle"]
    assert "No embedding space is active" in said(response)[0]


# Fields that complete


def complete(client, term, **params):
    asked = {"app_label": "press", "model_name": "comment", "field_name": "article", "term": term, **params}
    response = client.get(reverse("newsdesk:autocomplete"), asked)
    assert response.status_code == 200, response.headers
    return response.json()


@pytest.fixture
def press_articles(ada, drain):
    for number in range(25):
        press.Article.objects.create(title=f"Number {number} of bread", body="flour and water")
    press.Article.objects.create(title="Repairing a bicycle", body="chains and wheels")
    drain()


def test_beginnings_of_words(client, press_articles, down):
    for term in ("bi", "bicy", "bicycle", "repairing a bi", "chains and whe"):
        assert [each["text"] for each in complete(client, term)["results"]] == ["Repairing a bicycle"], term
    # Not in the index: parts of words are searched in the fields, and no message waits for the next page.
    assert [each["text"] for each in complete(client, "icycl")["results"]] == ["Repairing a bicycle"]
    assert complete(client, "zzzz")["results"] == []
    assert said(get(client)) == []


def test_pages_of_completions(client, press_articles):
    first, second = complete(client, "brea"), complete(client, "brea", page=2)
    assert (len(first["results"]), first["pagination"]) == (20, {"more": True})
    assert (len(second["results"]), second["pagination"]) == (5, {"more": False})
    assert len({each["id"] for each in first["results"] + second["results"]}) == 25


def test_rights_of_completions(client, press_articles):
    client.force_login(User.objects.create_user("guest", is_staff=True))
    asked = {"app_label": "press", "model_name": "comment", "field_name": "article", "term": "bread"}
    assert client.get(reverse("newsdesk:autocomplete"), asked).status_code == 403
    assert client.get(reverse("newsdesk:autocomplete"), {"term": "bread"}).status_code == 403


@pytest.mark.parametrize("term", ["", " ", "\0", "x" * 10_001, "'", "*", "a", "bre**", '"bre', "-bre", "title:bre"])
def test_any_term(client, press_articles, term):
    assert "results" in complete(client, term)


@pytest.mark.parametrize(
    ("typed", "searched"),
    [
        ("sourdough bre", "sourdough bre*"),
        ("b", "b"),
        ("bread ", "bread "),
        ('"rye', '"rye*'),
        ("bre*", "bre*"),
        ("C++", "C++"),
    ],
)
def test_the_word_that_is_being_typed(typed, searched):
    assert while_typing(typed) == searched


def test_a_model_that_is_not_indexed():
    class CategoryAdmin(HybridSearchAdminMixin, admin.ModelAdmin):
        pass

    (found,) = CategoryAdmin(Category, AdminSite()).check()
    assert found.id == "pgknowbase.E040"
    assert [each.id for each in newsdesk.get_model_admin(Article).check()] == []
