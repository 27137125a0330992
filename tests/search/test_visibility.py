"""Users by rows by entry points: who finds what."""

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AnonymousUser

from pgknowbase.models import ExternalData
from pgknowbase.search.visibility import EVERYTHING
from tests.blog.models import Article, Note
from tests.search.conftest import QUERY

pytestmark = pytest.mark.django_db

ROWS = {"ann's": 0.9, "bob's": 0.8, "nobody's": 0.7, "public": 0.6}
SEEN = {
    "ann": {"ann's", "public"},
    "bob": {"bob's", "public"},
    "stranger": {"public"},
    "disabled": {"public"},
    "anonymous": {"public"},
    "none": {"public"},
    "superuser": set(ROWS),
    "everything": set(ROWS),
}


@pytest.fixture
def users(db):
    users = get_user_model().objects
    made = {name: users.create(username=name) for name in ("ann", "bob", "stranger")}
    made["disabled"] = users.create(username="disabled", is_active=False)
    made["superuser"] = users.create_superuser("root")
    return {**made, "anonymous": AnonymousUser(), "none": None, "everything": EVERYTHING}


@pytest.fixture
def rows(users, index):
    owners = {"ann's": users["ann"], "bob's": users["bob"]}
    for name, near in ROWS.items():
        Article.objects.create(title=name, body=f"near {near}", author=owners.get(name))
    Article.objects.create(title="disabled's", body="near 0.1", author=users["disabled"])
    probe = Article.objects.create(title="probe", body="near 1.0", author=users["superuser"])
    Note.notes.create(text="near 0.5")
    index()
    ExternalData.objects.filter(title="public").update(is_public=True)
    return probe


ENTRY_POINTS = {
    "manager": lambda probe, user: Article.objects.semantic_search(QUERY, visible_to=user),
    "queryset": lambda probe, user: Article.objects.filter(views=0).semantic_search(QUERY, visible_to=user),
    "class": lambda probe, user: Article.semantic_search(QUERY, visible_to=user),
    "limit": lambda probe, user: Article.objects.semantic_search(QUERY, limit=20, visible_to=user),
    "similar": lambda probe, user: probe.similar(visible_to=user),
    "across": lambda probe, user: ExternalData.objects.search(QUERY, models=[Article], visible_to=user),
    "filtered across": lambda probe, user: ExternalData.objects.exclude(title="x").search(QUERY, visible_to=user),
}


@pytest.mark.parametrize("entry", ENTRY_POINTS)
@pytest.mark.parametrize("name", SEEN)
@pytest.mark.parametrize("exact_below", [0, 10_000])
def test_matrix(rows, users, settings, entry, name, exact_below):
    settings.PGKNOWBASE = {**settings.PGKNOWBASE, "SEARCH": {"EXACT_BELOW": exact_below}}
    found = {row.title for row in ENTRY_POINTS[entry](rows, users[name])}
    assert found & set(ROWS) == SEEN[name]
    assert ("disabled's" in found) == (name in ("superuser", "everything"))


def test_deleted_user_leaves_private_rows_private(rows, users):
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("UPDATE blog_article SET author_id = NULL WHERE author_id = %s", [users["ann"].pk])
        cursor.execute("DELETE FROM auth_user WHERE id = %s", [users["ann"].pk])
    found = Article.objects.semantic_search(QUERY, visible_to=users["bob"])
    assert {row.title for row in found} == {"bob's", "public"}
