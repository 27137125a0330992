"""Users by rows by entry points: who finds what."""

import itertools

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AnonymousUser
from django.db import connection

from pgknowbase.embeddings.query_vectors import literal
from pgknowbase.errors import ConfigurationError
from pgknowbase.models import ExternalData
from pgknowbase.search.visibility import UNRESTRICTED, viewer_param
from tests.integration.search.conftest import QUERY, nearness
from tests.projects.blog.models import Article, Note

pytestmark = pytest.mark.django_db

# Articles go by owner and is_public. Notes have a rule of their own, which decides alone for users who are signed in.
TABLE = """
            | ann's | bob's | nobody's | public | note for ann | public note
ann         |   x   |       |          |   x    |      x       |
bob         |       |   x   |          |   x    |              |
stranger    |       |       |          |   x    |              |
disabled    |       |       |          |   x    |              |      x
anonymous   |       |       |          |   x    |              |      x
none        |       |       |          |   x    |              |      x
superuser   |   x   |   x   |    x     |   x    |      x       |      x
everything  |   x   |   x   |    x     |   x    |      x       |      x
"""


def _read(table):
    head, *lines = [[cell.strip() for cell in line.split("|")] for line in table.strip("\n").splitlines()]
    return {user: {row for row, cell in zip(head[1:], cells, strict=True) if cell} for user, *cells in lines}


SEEN = _read(TABLE)
ARTICLES = {"ann's": 0.9, "bob's": 0.8, "nobody's": 0.7, "public": 0.6}
NOTES = {"note for ann": 0.5, "public note": 0.4}


@pytest.fixture
def users(db):
    users = get_user_model().objects
    made = {name: users.create(username=name) for name in ("ann", "bob", "stranger")}
    made["disabled"] = users.create(username="disabled", is_active=False)
    made["superuser"] = users.create_superuser("root")
    return {**made, "anonymous": AnonymousUser(), "none": None, "everything": UNRESTRICTED}


@pytest.fixture
def probe(users, index, monkeypatch):
    """A public row, like all others."""
    rule = classmethod(lambda cls, user: cls.notes.filter(text__startswith=f"note for {user.username} "))
    monkeypatch.setattr(Note, "visible_to", rule, raising=False)
    owners = {"ann's": users["ann"], "bob's": users["bob"]}
    for name, near in ARTICLES.items():
        Article.objects.create(title=name, body=f"near {near}", author=owners.get(name))
    Article.objects.create(title="disabled's", body="near 0.1", author=users["disabled"])
    for name, near in NOTES.items():
        Note.notes.create(text=f"{name} near {near}")
    probe = Article.objects.create(title="probe", body="near 1.0")
    index()
    ExternalData.objects.filter(title__in=["public", "probe"]).update(is_public=True)
    keys = [str(note.pk) for note in Note.notes.filter(text__startswith="note for")]
    ExternalData.objects.filter(object_key__in=keys).update(is_public=False)
    return probe


def names(rows):
    return {getattr(row, "title", "") or row.text.partition(" near")[0] for row in rows} - {"probe"}


def of_data(rows):
    return names(row.source_object for row in rows)


def by_sql(text):
    def run(probe, user):
        with connection.cursor() as cursor:
            params = {"of": probe.external_data.content_type_id, "key": str(probe.pk), "viewer": viewer_param(user)}
            cursor.execute(text, {**params, "query": literal(nearness(QUERY))})
            return names(Article.objects.filter(pk__in=[row[0] for row in cursor.fetchall()]))

    return run


FILTER = "pgknowbase_filter_v1(ARRAY[%(of)s], {}, %(viewer)s)"
SEARCHED = "SELECT object_key FROM {}(%(query)s, 20, " + FILTER.format(-1) + ")"
WORDS = f"SELECT object_key FROM pgknowbase_search_keyword_v1('near', 20, {FILTER.format(0)})"
BOTH = f"SELECT object_key FROM pgknowbase_search_hybrid_v1('near', %(query)s, 20, {FILTER.format(-1)})"
LIKE = f"SELECT object_key FROM pgknowbase_similar_v1(ARRAY[%(of)s], ARRAY[%(key)s], 20, {FILTER.format(-1)})"
OF_ARTICLES = {
    "manager": lambda probe, user: names(Article.objects.semantic_search(QUERY, visible_to=user)),
    "queryset": lambda probe, user: names(Article.objects.filter(views=0).semantic_search(QUERY, visible_to=user)),
    "slice": lambda probe, user: names(Article.objects.order_by("pk")[:20].semantic_search(QUERY, visible_to=user)),
    "class": lambda probe, user: names(Article.semantic_search(QUERY, visible_to=user)),
    "limit": lambda probe, user: names(Article.objects.semantic_search(QUERY, limit=20, visible_to=user)),
    "similar": lambda probe, user: names(probe.similar(visible_to=user)),
    "similar_to": lambda probe, user: names(Article.objects.filter(views=0).similar_to(probe, visible_to=user)),
    "across": lambda probe, user: of_data(ExternalData.objects.search(QUERY, models=[Article], visible_to=user)),
    "keyword": lambda probe, user: names(Article.objects.keyword_search(QUERY, visible_to=user)),
    "hybrid": lambda probe, user: names(Article.objects.hybrid_search(QUERY, visible_to=user)),
    "hybrid queryset": lambda probe, user: names(Article.objects.filter(views=0).hybrid_search(QUERY, visible_to=user)),
    "keyword across": lambda probe, user: of_data(
        ExternalData.objects.search(QUERY, models=[Article], mode="keyword", visible_to=user)
    ),
    "hybrid across": lambda probe, user: of_data(
        ExternalData.objects.search(QUERY, models=[Article], mode="hybrid", visible_to=user)
    ),
    "SQL keyword": by_sql(WORDS),
    "SQL hybrid": by_sql(BOTH),
    "SQL": by_sql(SEARCHED.format("pgknowbase_search_dense_v1")),
    "SQL exact": by_sql(SEARCHED.format("pgknowbase_search_exact_v1")),
    "SQL similar": by_sql(LIKE),
}
OF_NOTES = {
    "ruled manager": lambda probe, user: names(Note.notes.semantic_search(QUERY, visible_to=user)),
    "ruled queryset": lambda probe, user: names(
        Note.notes.exclude(hidden=True).semantic_search(QUERY, visible_to=user)
    ),
    "ruled slice": lambda probe, user: names(Note.notes.order_by("text")[:9].semantic_search(QUERY, visible_to=user)),
    "ruled keyword": lambda probe, user: names(Note.notes.keyword_search(QUERY, visible_to=user)),
    "ruled hybrid": lambda probe, user: names(Note.notes.hybrid_search(QUERY, visible_to=user)),
    "ruled hybrid across": lambda probe, user: of_data(
        ExternalData.objects.search(QUERY, models=[Note], mode="hybrid", visible_to=user)
    ),
    "ruled similar_to": lambda probe, user: names(Note.notes.similar_to(probe, visible_to=user)),
    "ruled across": lambda probe, user: of_data(ExternalData.objects.search(QUERY, models=[Note], visible_to=user)),
}
OF_ALL = {
    "everything across": lambda probe, user: of_data(ExternalData.objects.search(QUERY, limit=20, visible_to=user)),
    "filtered across": lambda probe, user: of_data(
        ExternalData.objects.exclude(title="x").search(QUERY, limit=20, visible_to=user)
    ),
    "sliced across": lambda probe, user: of_data(
        ExternalData.objects.order_by("pk")[:20].search(QUERY, limit=20, visible_to=user)
    ),
}
ENTRY_POINTS = {
    **{name: (entry, set(ARTICLES)) for name, entry in OF_ARTICLES.items()},
    **{name: (entry, set(NOTES)) for name, entry in OF_NOTES.items()},
    **{name: (entry, set(ARTICLES) | set(NOTES)) for name, entry in OF_ALL.items()},
}


@pytest.mark.parametrize("exact_search_max_chunks", [0, 10_000])
def test_matrix(vector_index, probe, users, settings, exact_search_max_chunks):
    settings.PGKNOWBASE = {**settings.PGKNOWBASE, "SEARCH": {"EXACT_SEARCH_MAX_CHUNKS": exact_search_max_chunks}}
    for name, (entry, (found, among)) in itertools.product(SEEN, ENTRY_POINTS.items()):
        everything = name in ("superuser", "everything")
        rest = {"disabled's"} if everything and among & set(ARTICLES) else set()
        assert found(probe, users[name]) == SEEN[name] & among | rest, (name, entry)


def test_nothing_is_like_a_row_that_the_user_may_not_see(probe, users):
    bobs = Article.objects.get(title="bob's")
    hidden, note = Note.notes.get(text__startswith="public note"), Note.notes.get(text__startswith="note for ann")
    assert names(bobs.similar(visible_to=users["bob"])) == {"public"}
    for user in ("ann", "stranger", "disabled", "anonymous", "none"):
        assert not bobs.similar(visible_to=users[user])
        assert not Note.notes.similar_to(bobs, visible_to=users[user])
    explained = Note.notes.similar_to(bobs, visible_to=users["ann"]).explain_search()
    assert str(explained).startswith("exact over the filtered rows: 0 pass")
    assert names(Article.objects.similar_to(note, visible_to=users["ann"])) == {"ann's", "public"}
    assert not Article.objects.similar_to(note, visible_to=users["bob"])
    assert not Article.objects.similar_to(hidden, visible_to=users["ann"])
    assert names(Article.objects.similar_to(hidden, visible_to=None)) == {"public"}


def test_rows_that_the_user_may_not_see_do_not_count(probe, users):
    bobs, anns, public = (Article.objects.get(title=title) for title in ("bob's", "ann's", "public"))
    note = Note.notes.get(text__startswith="note for ann")
    for objects in (Article.objects, Note.notes, ExternalData.objects):
        for user in ("ann", "stranger", "none"):
            alone = [(row.pk, row.similarity) for row in objects.similar_to([public, probe], visible_to=users[user])]
            others = [bobs] if user == "ann" else [bobs, anns, note]
            with_others = objects.similar_to([public, *others, probe], visible_to=users[user])
            assert [(row.pk, row.similarity) for row in with_others] == alone
            assert not objects.similar_to(others, visible_to=users[user])
    both = [(row.pk, row.similarity) for row in Article.objects.similar_to([public, bobs], visible_to=users["bob"])]
    assert both != [(row.pk, row.similarity) for row in Article.objects.similar_to([public], visible_to=users["bob"])]


def test_rule_of_the_manager(probe, users, monkeypatch):
    manager = type(Article.objects)
    monkeypatch.setattr(manager, "visible_to", lambda self, user: self.filter(title=f"{user}'s"), raising=False)
    assert names(Article.objects.semantic_search(QUERY, visible_to=users["bob"])) == {"bob's"}


def test_rule_must_return_a_queryset_of_its_model(probe, users, monkeypatch):
    monkeypatch.setattr(Article, "visible_to", classmethod(lambda cls, user: [1]), raising=False)
    with pytest.raises(ConfigurationError, match="'list': return a queryset"):
        Article.objects.semantic_search(QUERY, visible_to=users["bob"])
    monkeypatch.setattr(Article, "visible_to", lambda self, user: True)
    assert names(Article.objects.semantic_search(QUERY, visible_to=users["bob"])) == {"bob's", "public"}


def test_deleted_user_leaves_private_rows_private(probe, users):
    with connection.cursor() as cursor:
        cursor.execute("UPDATE blog_article SET author_id = NULL WHERE author_id = %s", [users["ann"].pk])
        cursor.execute("DELETE FROM auth_user WHERE id = %s", [users["ann"].pk])
    found = Article.objects.semantic_search(QUERY, visible_to=users["bob"])
    assert names(found) == {"bob's", "public"}
