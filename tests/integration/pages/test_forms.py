"""The fields of forms, and the completions that they ask for: as the user of the request."""

import pytest
from django import forms
from django.contrib.auth.models import AnonymousUser, User
from django.urls import reverse

from pgknowbase.pages.forms import KnowledgeSearchField
from tests.integration.pages.site import Reference
from tests.projects.blog.models import Article, Note

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls("tests.integration.pages.site")]


def complete(client, term, model="blog.Note", status=200, **params):
    response = client.get(reverse("pgknowbase_pages:complete", args=[model]), {"term": term, **params})
    assert response.status_code == status, response.content
    return response.json()


def texts(answer):
    return [each["text"] for each in answer["results"]]


def test_beginnings_of_words(client, library):
    assert texts(complete(client, "whea")) == ["Wheat bread with <b>butter</b> & <script>alert(1)</script>."]
    assert len(texts(complete(client, "brea"))) == 4
    assert texts(complete(client, "zzz")) == []
    key = complete(client, "whea")["results"][0]["id"]
    assert Note.notes.get(pk=key).text.startswith("Wheat")


def test_rights(client, library, ann):
    assert texts(complete(client, "brea", "blog.Article")) == []
    client.force_login(ann)
    assert texts(complete(client, "brea", "blog.article")) == ["Ann's <i>secret</i> bread"]
    client.force_login(User.objects.create_superuser("root"))
    assert len(texts(complete(client, "brea", "blog.Article"))) == 2


def test_pages(client, library, drain):
    for number in range(25):
        Note.notes.create(text=f"Soup number {number}.")
    drain()
    first, second = complete(client, "sou"), complete(client, "sou", page=2)
    assert (len(texts(first)), first["pagination"]) == (20, {"more": True})
    assert (len(texts(second)), second["pagination"]) == (5, {"more": False})
    assert len({*texts(first), *texts(second)}) == 25


@pytest.mark.parametrize(
    ("term", "params"),
    [
        ("", {}), (" ", {}), ("b", {}), ("\0", {}), ("x" * 10_000, {}), ("'", {}), ("*", {}), ("bre**", {}),
        ("-bre", {}),
        ("brea", {"page": "0"}), ("brea", {"page": "-1"}), ("brea", {"page": "x"}), ("brea", {"page": "²"}),
        ("brea", {"page": "99999999999"}), ("brea", {"page": "9999"}), ("brea", {"page": "٣"}),
    ],
)  # fmt: skip
def test_any_term_and_page(client, library, term, params):
    assert "results" in complete(client, term, **params)


@pytest.mark.parametrize("model", ["blog.Nothing", "auth.User", "x", "blog.Category", "a\0b"])
def test_models_that_are_none(client, library, model):
    assert complete(client, "brea", model, status=404) == {"error": "There is no such source model."}


def test_visitors(client, library, settings):
    settings.PGKNOWBASE = {**settings.PGKNOWBASE, "API": {"ANONYMOUS_RATE": "1/hour"}}
    complete(client, "brea")
    complete(client, "brea", status=429)
    settings.PGKNOWBASE = {**settings.PGKNOWBASE, "API": {"ANONYMOUS_SEARCH": False}}
    complete(client, "brea", status=401)


def test_a_row_that_the_user_may_not_see_is_not_a_choice(library, ann):
    own, others = Article.objects.get(author=ann), Article.objects.get(author=None)
    form = Reference({"article": own.pk}, user=ann)
    assert form.is_valid(), form.errors
    assert form.cleaned_data["article"] == own
    assert "article" in Reference({"article": others.pk}, user=ann).errors
    assert "article" in Reference({"article": own.pk}, user=AnonymousUser()).errors
    assert "article" in Reference({"article": own.pk}, user=None).errors
    assert Reference({"article": others.pk}, user=User(is_superuser=True)).is_valid()


@pytest.mark.parametrize("value", ["x", "\0", "99999999999999999999999", "-1", "1.5", "²"])
def test_values_that_are_no_key(library, ann, value):
    form = Reference({"article": value}, user=ann)
    assert "article" in form.errors
    assert "<option" in str(form["article"])


def test_the_select_renders_the_chosen_row_alone(library, ann, client):
    own = Article.objects.get(author=ann)
    page = str(Reference({"article": own.pk}, user=ann)["article"])
    assert page.count("<option") == 2
    assert f'<option value="{own.pk}" selected>Ann&#x27;s &lt;i&gt;secret&lt;/i&gt; bread</option>' in page
    assert 'data-ajax--url="/search/complete/blog.Article/"' in page
    assert str(Reference(user=ann)["article"]).count("<option") == 1
    client.force_login(ann)
    assert client.get(reverse("reference")).status_code == 200


class Filter(forms.Form):
    q = KnowledgeSearchField()


@pytest.mark.parametrize("text", ["", "  ", "\0", "x" * 10_001, "a\ud800"])
def test_texts_that_cannot_be_searched_for(text):
    assert list(Filter({"q": text}).errors) == ["q"]


def test_texts_that_can():
    form = Filter({"q": ' "rye bread" -butter '})
    assert form.is_valid()
    assert form.cleaned_data["q"] == '"rye bread" -butter'
    assert 'type="search"' in str(form["q"])
    assert 'maxlength="10000"' in str(form["q"])
    assert KnowledgeSearchField(max_length=99_999).max_length == 10_000
