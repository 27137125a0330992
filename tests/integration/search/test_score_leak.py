"""What scores tell of documents that the asker may not see: whether they have a word, and in which language.

Each test asks the same in two worlds that differ in others' private rows alone. Whoever sees all rows sees the
difference; so the scores would tell it.
"""

import pytest
from django.contrib.auth import get_user_model
from django.db import connection

from pgknowbase.models import ExternalData
from pgknowbase.search import service
from pgknowbase.search.questions import SearchQuery
from tests.integration.search.conftest import make_words
from tests.projects.blog.models import Article, Note

pytestmark = pytest.mark.django_db

# What ann may see: her own rows.
OWN = (
    "the zebra crosses a river near 0.9",
    "a river and a lake and a river near 0.8",
    "zebra zebra lake near 0.7",
    "mountains in the evening light near 0.6",
    "the lake in the morning near 0.5",
)
# Of one length: of others' rows the whole corpus is known by its rounded numbers alone.
HIDDEN = {
    "have the word": "zebra zebra of somebody else near 0.95",
    "do not have it": "giraffe parts of somebody else near 0.95",
}
ASKED = ("zebra", "zebra river", "the lake", "zebra lake mountains")


@pytest.fixture
def users(db):
    users = get_user_model().objects
    return {
        "ann": users.create(username="ann"),
        "bob": users.create(username="bob"),
        "root": users.create_superuser("root"),
    }


def by_owner(text, owner):
    Article.objects.create(title="", body=text, author=owner)


def by_rule(text, owner):
    Note.notes.create(text=f"{owner.username} {text}")


@pytest.fixture(params=[by_owner, by_rule])
def write(request, monkeypatch):
    """Write a row that its owner may see, by the owner or by a rule of the model."""
    monkeypatch.setattr(
        Note,
        "visible_to",
        classmethod(lambda cls, user: cls.notes.filter(text__startswith=f"{user.username} ")),
        raising=False,
    )
    return request.param


def ways(user):
    """The ways in, each giving rows with scores."""
    rows = ExternalData.objects
    for text in ASKED:
        for mode in ("keyword", "hybrid"):
            yield rows.search(
                f"{text} near 1.0", mode=mode, visible_to=user, threshold=0 if mode == "keyword" else None
            )
            question = SearchQuery(query=f"{text} near 1.0", mode=mode)
            yield service.search(question, viewer=user).results
        for model in (Article.objects, Note.notes):
            yield model.keyword_search(text, visible_to=user)
            yield model.hybrid_search(f"{text} near 1.0", visible_to=user)


def told(user):
    return [
        [(str(hit.pk if hasattr(hit, "pk") else hit.id), hit.score, hit.keyword_score) for hit in hits]
        for hits in ways(user)
    ]


def in_world(hidden, write, users, index):
    """What ann and a superuser are told while these texts are bob's private rows."""
    point = connection.savepoint()
    for text in hidden:
        write(text, users["bob"])
    index()
    make_words()
    answers = told(users["ann"]), told(users["root"])
    connection.savepoint_rollback(point)
    return answers


@pytest.mark.parametrize("count", [1, 3, 40])
def test_scores_do_not_tell_whether_others_rows_have_a_word(users, index, provider, write, count):
    for text in OWN:
        write(text, users["ann"])
    index()
    worlds = [in_world([text] * count, write, users, index) for text in HIDDEN.values()]
    (ann, root), (ann_without, root_without) = worlds
    assert any(ann)
    assert ann == ann_without
    assert root != root_without


def test_few_rows_more_change_nothing_at_all(users, index, provider, write):
    for text in OWN:
        write(text, users["ann"])
    index()
    (nothing, _), (others, _) = (in_world(hidden, write, users, index) for hidden in ([], [HIDDEN["have the word"]]))
    assert nothing == others


def test_scores_do_not_tell_the_language_of_others_rows(users, index, provider, write):
    for text in OWN:
        write(text, users["ann"])
    index()
    german = "das ist ein Satz und der ist nicht auf Englisch, sondern the and a near 0.95"
    english = "this is a sentence and it is in English, as you can see the and a near 0.95"
    worlds = [in_world([text], write, users, index)[0] for text in (german, english)]
    assert worlds[0] == worlds[1]


SQL = """
SELECT object_key, score FROM pgknowbase_bm25(
    %s, 10, pgknowbase_filter_v1(visible_to => %s), most_candidates => %s)
"""


@pytest.mark.parametrize("most_candidates", [8, 10_000])
def test_a_large_corpus_tells_no_more(users, index, provider, most_candidates):
    """Where not all documents are scored, how rare a word is decides which ones are."""

    def scores(hidden, viewer):
        point = connection.savepoint()
        for number in range(4):
            by_owner(f"{hidden} and {number}", users["bob"])
        index()
        make_words()
        with connection.cursor() as cursor:
            cursor.execute(SQL, ["zebra mountains", viewer, most_candidates])
            found = cursor.fetchall()
        connection.savepoint_rollback(point)
        return found

    for text in OWN:
        by_owner(text, users["ann"])
    index()
    ann = str(users["ann"].pk)
    one, other = (scores(hidden, ann) for hidden in HIDDEN.values())
    assert one
    assert one == other
    assert scores(HIDDEN["have the word"], None) != scores(HIDDEN["do not have it"], None)
