"""Typos in search texts: what is corrected, what is left alone, and that no suggestion tells of hidden rows."""

import pytest
from django.contrib.auth import get_user_model
from django.db import connection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pgknowbase.errors import SearchError
from pgknowbase.models import ExternalData
from pgknowbase.search import service, typos
from pgknowbase.search.questions import SearchQuery
from tests.projects.blog.models import Article, Note

pytestmark = pytest.mark.django_db


def correct(text, visible_to=None):
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT * FROM pgknowbase_correct_v1(%s, pgknowbase_filter_v1(visible_to => %s))", [text, visible_to]
        )
        return cursor.fetchone() or (None, None)


@pytest.fixture
def library(index, provider, settings):
    provider.vector = lambda text: [1.0] * 256
    texts = {
        "bikes": "How bicycles and their gears are repaired; the bottom bracket.",
        "bread": "Baking a sourdough loaf in the kitchen oven.",
        "servers": "Postgres databases and their triggers. Replication of a database.",
        "häuser": "Die Häuser der Straße haben große Fenster, und das Gebäude auch. Eine Wohnung liegt unter dem Dach.",
        "дома": "Красивые дома и высокие здания стоят близко от реки, и люди живут в больших квартирах.",
        "数据库": "向量数据库 SQL 索引",
    }
    for title, body in texts.items():
        Article.objects.create(title=title, body=body)
    index()
    with connection.cursor() as cursor:
        # As autovacuum does. Thousands of spellings are looked for, each in all that other tests have left there, too.
        cursor.execute("SELECT gin_clean_pending_list('pgknowbase_keywords_words')")
    languages = {"häuser": "german", "дома": "russian"}
    assert {
        row.title: row.document.language for row in ExternalData.objects.all() if row.title in languages
    } == languages


def test_what_is_corrected(library):
    expected = {
        "bicylce": "bicycle",
        "bicyle gears": "bicycle gears",
        "repaird": "repaired",
        "databse": "database",
        "datbase trigers": "database triggers",
        "Databse, trigggers!": "Database, triggers!",
        "soordough": "sourdough",
        "kichen oevn": "kitchen oven",
        "Fensetr": "Fenster",
        "gebädue": "gebäude",
        "здаания": "здания",
        '"botom bracket" -kichen': '"bottom bracket" -kichen',
        "title:bikse OR braed": "title:bikes OR bread",
        "bycicel": None,  # two edits
        "datbase*": None,
        "gears database": None,
        "whre their": None,  # one edit makes a stop word
        "gea": None,
        "x1y2z": None,
        "数据裤": None,
        # Too long for a word, and no part of it is one.
        "q" * 40 + "databsae": None,
        "'; -- %s": None,
    }
    assert {typed: correct(typed) for typed in expected} == {typed: (meant, meant) for typed, meant in expected.items()}


def test_the_search_is_for_what_was_meant(library):
    assert not Article.objects.keyword_search("sourdouhg")
    rows = Article.objects.keyword_search("sourdouhg", correct_typos=True, snippet_length=50)
    (found,) = rows
    assert (found.title, rows.did_you_mean) == ("bread", "sourdough")
    assert "<mark>sourdough</mark>" in found.snippet
    for rows in (
        Article.objects.hybrid_search("sourdouhg", correct_typos=True),
        Article.objects.semantic_search("sourdouhg", correct_typos=True),
        Article.objects.filter(views=0).keyword_search("sourdouhg", correct_typos=True),
        Article.objects.keyword_search("sourdouhg", correct_typos=True, include_pending=True),
        ExternalData.objects.search("sourdouhg", mode="keyword", correct_typos=True),
        ExternalData.objects.search("sourdouhg", mode="hybrid", correct_typos=True),
    ):
        assert rows[0].title == "bread" or len(rows) > 1
        assert rows.did_you_mean == "sourdough"
    found = Article.objects.keyword_search("sourdouhg", correct_typos=True)
    assert found.filter(title="bread").did_you_mean == "sourdough"
    assert [row.title for row in found.filter(title="bread")] == ["bread"]
    assert "words_all" in repr(found.explain_search())
    plain = Article.objects.keyword_search("sourdough gears", correct_typos=True)
    assert plain.did_you_mean is None
    assert len(plain) == 2


def test_a_word_that_hardly_any_row_has_is_only_suggested(index):
    for _ in range(40):
        Article.objects.create(title="", body="how they receive it near 1.0")
    Article.objects.create(title="misspelt", body="how they recieve it near 0.9")
    index()
    assert correct("recieve") == (None, "receive")
    rows = Article.objects.keyword_search("recieve", correct_typos=True)
    assert [row.title for row in rows] == ["misspelt"]
    assert rows.did_you_mean == "receive"


def test_the_service(library):
    def page(query, **options):
        return service.search(SearchQuery(query=query, mode="keyword", **options), viewer=root)

    root = get_user_model().objects.create_superuser("root")
    found = page("sourdouhg", correct_typos=True)
    assert (found.did_you_mean, [result.title for result in found.results]) == ("sourdough", ["bread"])
    assert page("sourdouhg").did_you_mean is None
    first = page("postgers", correct_typos=True, limit=1)
    assert first.did_you_mean == "postgres"


def by_owner(text, owner):
    Article.objects.create(title="", body=f"{text} near 0.5", author=owner)


def by_rule(text, owner):
    Note.notes.create(text=f"{owner.username} {text} near 0.5")


@pytest.fixture(params=[by_owner, by_rule])
def write(request, monkeypatch):
    rule = classmethod(lambda cls, user: cls.notes.filter(text__startswith=f"{user.username} "))
    monkeypatch.setattr(Note, "visible_to", rule, raising=False)
    return request.param


@pytest.mark.parametrize("hidden", ["the secret zebrafish merger", "nothing of the kind"])
def test_no_word_of_a_hidden_row_is_suggested(index, write, hidden):
    users = get_user_model().objects
    ann, bob, root = users.create(username="ann"), users.create(username="bob"), users.create_superuser("root")
    write("a river of the zebra with merging waters", ann)
    for _ in range(30):
        write(hidden, bob)
    index()
    ExternalData.objects.update(is_public=False)
    model = Note.notes if write is by_rule else Article.objects

    def told(user):
        for text in ("zebrafihs", "megrer", "zebar", "zebrafihs zebar mergr"):
            for rows in (
                model.keyword_search(text, correct_typos=True, visible_to=user),
                model.filter(pk__isnull=False).keyword_search(text, correct_typos=True, visible_to=user),
                ExternalData.objects.search(text, mode="keyword", correct_typos=True, visible_to=user),
            ):
                yield rows.did_you_mean, len(rows)

    merge = "merge"  # a form of her own "merging"
    expected = [*[(None, 0)] * 6, *[("zebra", 1)] * 3]
    assert list(told(ann))[:9] == expected
    assert all("fish" not in (text or "") and "merger" not in (text or "") for text, _ in told(ann))
    assert {text for text, _ in [*told(ann)][9:]} <= {"zebrafihs zebra mergr", f"zebrafihs zebra {merge}"}
    assert {text for text, _ in told(None)} == {None}
    if "zebrafish" in hidden:
        assert next(told(root))[0] == "zebrafish"
        assert next(told(bob))[0] == "zebrafish"


@pytest.mark.parametrize("hidden", ["Die Häuser der Straße liegen unter dem Dach und an dem Berg.", ""])
def test_no_suggestion_tells_in_which_languages_hidden_rows_are(index, write, hidden):
    """A German stop word is a typo to whoever sees no German row."""
    users = get_user_model().objects
    ann, bob = users.create(username="ann"), users.create(username="bob")
    write("the waters under the hills, and anders of them", ann)
    for _ in range(3 if hidden else 0):
        write(hidden, bob)
    index()
    ExternalData.objects.update(is_public=False)
    languages = {row.document.language for row in ExternalData.objects.all()}
    assert languages == ({"english", "german"} if hidden else {"english"})
    model = Note.notes if write is by_rule else Article.objects
    # "unter" is a stop word of German, and "anders" is one; "under" is one of English.
    typed = ("watert", "unter", "andert", "hiels")
    found = [model.keyword_search(text, correct_typos=True, visible_to=ann).did_you_mean for text in typed]
    assert found == ["waters", None, "anders", "hills"]


def test_where_a_rule_lets_too_many_pass_nothing_is_corrected(index, monkeypatch):
    ann = get_user_model().objects.create(username="ann")
    for _ in range(3):
        by_rule("zebra", ann)
    index()
    monkeypatch.setattr(Note, "visible_to", classmethod(lambda cls, user: cls.notes.all()), raising=False)
    search = {"correct_typos": True, "visible_to": ann}
    assert Note.notes.keyword_search("zebar", **search).did_you_mean == "zebra"
    monkeypatch.setattr(typos, "MAX_VISIBLE", 2)
    assert Note.notes.keyword_search("zebar", **search).did_you_mean is None
    monkeypatch.setattr(Note, "visible_to", classmethod(lambda cls, user: cls.notes.none()))
    assert Note.notes.keyword_search("zebar", **search).did_you_mean is None


def test_a_word_of_which_too_many_rows_would_have_to_be_looked_at_is_left_alone(index):
    for text in ("the zebrs of others near 0.5",) * 3 + ("a zebra near 0.4",):
        Article.objects.create(title="", body=text)
    index()
    ExternalData.objects.filter(content_hash__isnull=False).update(is_public=False)
    zebra = ExternalData.objects.latest("pk")
    ExternalData.objects.filter(pk=zebra.pk).update(is_public=True)
    call = "SELECT did_you_mean FROM pgknowbase_correct_v1('zebrs', pgknowbase_filter_v1(visible_to => ''), %s)"
    with connection.cursor() as cursor:
        for most, expected in ((4, "zebra"), (3, None)):
            cursor.execute(call, [most])
            assert (cursor.fetchone() or (None,))[0] == expected


def test_wrong_options(library):
    with pytest.raises(SearchError, match="correct_typos"):
        Article.objects.keyword_search("gears", correct_typos="yes")
    with pytest.raises(SearchError, match="correct_typos needs a search text"):
        Article.objects.similar_to(Article.objects.first(), correct_typos=True)
    assert correct(None) == (None, None)


def test_work_is_bounded(library):
    """Of a hundred unknown words four are looked at, so the fifth is left as it is."""
    unknown = " ".join(f"{word}sourdouhg" for word in "abcd")
    assert correct(f"{unknown} sourdouhg") == (None, None)
    assert correct(f"sourdouhg {unknown}")[0].startswith("sourdough ")


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    text=st.text(max_size=60).filter(lambda text: "\0" not in text and not any(map("\ud800\udfff".__contains__, text)))
)
def test_any_text_can_be_corrected(library, text):
    text = text.encode("utf-8", "ignore").decode()
    corrected, suggested = correct(f"{text} sourdouhg"[:100])
    for each in (corrected, suggested):
        assert each is None or each.endswith("sourdough")
