"""The knowledge page: hits with their reasons, and why an object is missing."""

import re

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from pgknowbase.models import ExternalData
from tests.integration.admin.conftest import TITLES, data_of
from tests.projects.blog.models import Article, Note

pytestmark = pytest.mark.django_db
PAGE = "admin:pgknowbase_knowledge"


@pytest.fixture
def library(work):
    for number in range(3):
        Article.objects.create(title=f"Bicycle {number}", body="Repair of a bicycle: chain, brakes and tyres. " * 3)
    Article.objects.create(title="Bread", body="Flour, water and <script>alert(1)</script> salt.")
    Note.notes.create(text="A note on bicycle repair")
    work()


def get(client, **params):
    response = client.get(reverse(PAGE), params)
    assert response.status_code == 200
    return response


def test_opens_empty_and_is_linked(root):
    page = get(root).content.decode()
    assert "pgknowbase-hits" not in page
    assert reverse(PAGE) in root.get(reverse("admin:pgknowbase_externaldata_changelist")).content.decode()


@pytest.mark.parametrize("mode", ["semantic", "keyword", "hybrid"])
def test_hits_of_each_mode(root, library, mode):
    response = get(root, q="bicycle repair", mode=mode)
    hits = response.context["hits"]
    page = response.content.decode()
    assert {hit.data.title for hit in hits} >= {f"Bicycle {number}" for number in range(3)}
    assert [hit.place for hit in hits] == list(range(1, len(hits) + 1))
    for hit in hits[:3]:
        assert (hit.dense_rank is None) is (mode == "keyword")
        assert (hit.keyword_rank is None) is (mode == "semantic")
    assert ("Meaning weighs" in page) is (mode == "hybrid")
    assert "<mark>" in page
    assert "<script>alert" not in page
    assert not re.search(r"<[^>]+\s(style|on\w+)=", page)


def test_parts_add_up_to_the_score(root, library):
    hits = get(root, q="bicycle repair", mode="hybrid", limit=1).context["hits"]
    wide = get(root, q="bicycle repair", mode="hybrid").context["hits"]
    assert len(hits) == 1
    assert hits[0].keyword_part == wide[0].keyword_part
    for hit in wide:
        assert hit.dense_part + hit.keyword_part == pytest.approx(hit.data.score)
        assert hit.keyword_part >= 0


def test_the_span_is_marked_where_it_stands(root, library):
    (hit, *_) = get(root, q="flour and salt", mode="semantic", limit=1).context["hits"]
    assert hit.data.title == "Bread"
    content = hit.data.content
    assert hit.before + hit.chunk + hit.after in content
    assert "Flour, water" in hit.chunk


def test_filters(root, library):
    assert {hit.source for hit in get(root, q="bicycle", models="blog.Note").context["hits"]} == {"blog.Note"}
    assert get(root, q="bicycle", metadata='{"year": 1}').context["hits"] == []
    assert get(root, q="bicycle", mode="semantic", threshold="0.99").context["hits"] == []
    assert "Enter a valid JSON" in get(root, q="bicycle", metadata="{").content.decode()
    assert "unknown operator" in get(root, q="bicycle", metadata='{"a": {"b": 1}}').content.decode()


def test_why_an_object_is_missing(root, library, states):
    dead, bread = states["dead"], data_of(Article.objects.get(title="Bread"))
    page = get(root, q="bicycle", missing=f"blog.Note:{dead.object_key}").content.decode()
    assert 'data-code="dead_letter"' in page
    assert "told to explode" in page
    response = get(root, q="bicycle", mode="keyword", missing=f"blog.article:{bread.object_key}")
    assert response.context["missing"].codes == ("no_words",)
    assert "names no object" in get(root, q="x", missing="Bread").content.decode()
    assert "is not a source model" in get(root, q="x", missing="no.Model:1").content.decode()
    found = get(root, q="flour", mode="semantic", missing=f"blog.Article:{bread.object_key}")
    assert "The object is found" in found.content.decode()


def test_looking_as_a_user_needs_the_permission(client, staff, library):
    ann = User.objects.create_user("ann")
    Article.objects.filter(title="Bicycle 0").update(author=ann)
    ExternalData.objects.filter(title="Bicycle 0").update(owner=ann)
    viewer = staff("view")
    client.force_login(viewer)
    assert 'name="user"' not in get(client, q="bicycle").content.decode()
    assert client.get(reverse(PAGE), {"q": "bicycle", "user": "ann"}).status_code == 403
    viewer.user_permissions.add(Permission.objects.get(codename="search_as_others"))
    found = {hit.data.title for hit in get(client, q="bicycle", user="ann", models="blog.Article").context["hits"]}
    assert found == {"Bicycle 0"}
    assert "There is no such user" in get(client, q="bicycle", user="nobody").content.decode()
    other = Article.objects.get(title="Bicycle 1")
    response = get(client, q="bicycle", user="ann", missing=f"blog.Article:{other.pk}")
    assert "not_visible" in response.context["missing"].codes


def test_closed_to_others(client, staff):
    client.force_login(staff())
    assert client.get(reverse(PAGE), {"q": "x"}).status_code == 403
    client.logout()
    assert client.get(reverse(PAGE), {"q": "x"}).status_code == 302


def test_statements_do_not_grow_with_hits(root, library, work):
    def statements(limit):
        get(root, q="bicycle repair", limit=limit)
        with CaptureQueriesContext(connection) as captured:
            hits = get(root, q="bicycle repair", limit=limit).context["hits"]
        return len(captured), len(hits)

    for number in range(3, 33):
        Article.objects.create(title=f"Bicycle {number}", body="Repair of a bicycle.")
    work()
    few, three = statements(3)
    many, thirty = statements(30)
    assert (three, thirty) == (3, 30)
    assert few == many


def test_bad_queries(root, library, states):
    assert (
        "holds a NUL" in get(root, q="a\x00b").content.decode()
        or "Null characters" in get(root, q="a\x00b").content.decode()
    )
    assert get(root, q="'; DROP TABLE x; --", mode="nonsense").status_code == 200
    assert TITLES["hostile"] not in get(root, q="script alert", limit=50).content.decode()
