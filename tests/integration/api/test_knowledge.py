"""Search, similar, document, sync and status over HTTP."""

import json
from datetime import timedelta

import pytest
from django.utils import timezone

from pgknowbase.models import ExternalData
from tests.integration.api.conftest import (
    BATCH,
    DOCUMENT,
    FACETS,
    SEARCH,
    SIMILAR,
    STATUS,
    SYNC,
    Asker,
    problem,
    titles,
)
from tests.projects.blog.models import Article, Note

QUERY = "near 1.0"


@pytest.fixture
def ann(users):
    return Asker.session(users["ann"])


@pytest.fixture
def root(users):
    return Asker.session(users["root"])


def test_result(library, root):
    (found,) = root.post(SEARCH, {"query": QUERY, "limit": 1}).json()["results"]
    article = library["ann's"]
    assert found == {
        "id": f"blog.Article:{article.pk}",
        "model": "blog.Article",
        "object_key": str(article.pk),
        "title": "ann's",
        "description": "",
        "url": None,
        "tags": [],
        "metadata": {"year": 2020},
        "is_public": False,
        "updated_at": found["updated_at"],
        "chunk": found["chunk"],
        "span": {"start": 0, "end": len(article.external_data.content)},
        "similarity": pytest.approx(0.9, abs=1e-3),
        "keyword_score": None,
        "score": pytest.approx(0.9, abs=1e-3),
        "highlighted_title": None,
        "snippet": None,
        "rerank_score": None,
        "first_rank": None,
    }
    assert found["chunk"].endswith(article.external_data.content)


def test_typos(library, ann, root):
    body = {"query": "publci", "mode": "keyword", "correct_typos": True}
    found = root.post(SEARCH, body).json()
    assert (found["did_you_mean"], len(found["results"])) == ("public", 1)
    assert ann.get(SEARCH, query="publci", mode="keyword", correct_typos="true").json()["did_you_mean"] == "public"
    assert root.post(SEARCH, {**body, "correct_typos": False}).json()["did_you_mean"] is None
    problem(root.post(SEARCH, {**body, "correct_typos": "perhaps"}), 422)


def test_cursors_and_orders(library, ann, root):
    body = {"query": QUERY, "limit": 2, "order_by": "-created", "min_relevance": 0}
    first = root.post(SEARCH, body).json()
    second = root.post(SEARCH, {**body, "cursor": first["next_cursor"]}).json()
    known = [result["id"] for page in (first, second) for result in page["results"]]
    assert len(set(known)) == 4
    assert (first["next_offset"], second["next_offset"]) == (2, None)
    created = dict(ExternalData.objects.values_list("object_key", "created_at"))
    keys = [one.partition(":")[2] for one in known]
    assert keys == sorted(keys, key=created.get, reverse=True)
    assert root.get(SEARCH, **body, cursor=first["next_cursor"]).json() == second
    for refused in (
        ann.post(SEARCH, {**body, "cursor": first["next_cursor"]}),
        root.post(SEARCH, {**body, "query": "other", "cursor": first["next_cursor"]}),
        root.post(SEARCH, {**body, "cursor": "forged"}),
        root.get(SEARCH, **body, cursor="\0"),
        root.post(SEARCH, {**body, "cursor": first["next_cursor"], "offset": 1}),
        root.post(SEARCH, {**body, "order_by": "title"}),
        root.post(SEARCH, {"query": QUERY, "min_relevance": 0.5}),
    ):
        problem(refused, 422)


def test_similar_to_several(library, ann, root):
    mine, bobs = (f"blog.Article:{library[name].pk}" for name in ("ann's", "bob's"))
    found = root.post(SIMILAR, {"ids": [mine, bobs, mine], "models": ["blog.Article"]}).json()["results"]
    assert [one["title"] for one in found] == ["nobody's"]
    problem(ann.post(SIMILAR, {"ids": [mine, bobs]}), 404)
    for body in ({}, {"ids": []}, {"ids": [mine] * 21}, {"ids": mine}, {"ids": ["no.Model:1"]}):
        problem(root.post(SIMILAR, body), 422)
    problem(root.post(SIMILAR, {"ids": ["nonsense"]}), 404)


def test_facets(library, ann, root):
    body = {"facets": ["model", "metadata.year"], "query": "near", "models": ["blog.Article", "blog.Note"]}
    mine = ann.post(FACETS, body).json()
    assert {one["value"]: one["count"] for one in mine["facets"]["model"]["values"]} == {
        "blog.Article": 1,
        "blog.Note": 1,
    }
    assert mine["facets"]["metadata.year"] == {"values": [{"value": 2020, "count": 1}], "distinct": 1}
    assert (mine["documents"], mine["is_complete"]) == (2, True)
    assert root.post(FACETS, body).json()["documents"] > 2
    by_url = ann.get(FACETS, facets=["model", "metadata.year"], query="near", metadata='{"year": 2020}').json()
    assert by_url["documents"] == 1
    assert ann.post(FACETS, {"facets": ["updated:month"]}).json()["facets"]["updated:month"]["distinct"] == 1


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"facets": []},
        {"facets": ["nonsense"]},
        {"facets": ["tags"] * 11},
        {"facets": ["metadata.\0"]},
        {"facets": ["tags"], "query": " "},
        {"facets": ["tags"], "values": 101},
        {"facets": ["tags"], "models": ["no.Model"]},
        {"facets": ["tags"], "limit": 3},
    ],
)
def test_facets_that_there_are_not(users, body):
    problem(Asker.session(users["ann"]).post(FACETS, body), 422)


def test_address_of_the_source_row(library, root, monkeypatch):
    monkeypatch.setattr(Article, "get_absolute_url", lambda self: f"/articles/{self.pk}/", raising=False)
    found = root.post(SEARCH, {"query": QUERY, "models": ["blog.Article"]}).json()["results"]
    assert [one["url"] for one in found] == [f"/articles/{one['object_key']}/" for one in found]
    assert len(found) == 3


def test_queries_do_not_grow_with_results(library, root, django_assert_max_num_queries, monkeypatch):
    monkeypatch.setattr(Article, "get_absolute_url", lambda self: f"/articles/{self.pk}/", raising=False)
    root.post(SEARCH, {"query": QUERY})
    with django_assert_max_num_queries(8):
        assert len(titles(root.post(SEARCH, {"query": QUERY}))) == 4


def test_legs(library, root):
    by_words = root.post(SEARCH, {"query": "bob", "mode": "keyword"}).json()["results"]
    assert [(one["title"], one["similarity"]) for one in by_words] == [("bob's", None)]
    assert by_words[0]["keyword_score"] > 0
    both = root.post(SEARCH, {"query": "bob near 1.0", "mode": "hybrid", "dense_weight": 0.1}).json()["results"]
    assert both[0]["title"] == "bob's"
    assert both[0]["keyword_score"] > 0
    assert both[0]["similarity"] == pytest.approx(0.8, abs=1e-3)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"models": ["blog.note"]}, ["public near 0.6"]),
        ({"threshold": 0.75}, ["ann's", "bob's"]),
        ({"metadata": {"year": {"lt": 2020}}}, []),
        ({"metadata": {"year": 2020}, "limit": 1}, ["ann's"]),
        ({"tags": ["none"]}, []),
        ({"offset": 3}, ["public near 0.6"]),
        ({"changed_from": "2100-01-01T00:00:00Z"}, []),
        ({"changed_from": "2100-01-01T00:00:00-22:08"}, []),
        ({"changed_before": "2100-01-01T00:00:00Z", "limit": 2}, ["ann's", "bob's"]),
    ],
)
def test_options_in_body_and_address(library, root, options, expected):
    assert titles(root.post(SEARCH, {"query": QUERY, **options})) == expected
    if "metadata" in options:
        options = {**options, "metadata": json.dumps(options["metadata"])}
    assert titles(root.get(SEARCH, query=QUERY, **options)) == expected


def test_pages(library, root):
    seen, offset = [], 0
    while offset is not None:
        page = root.post(SEARCH, {"query": QUERY, "limit": 2, "offset": offset})
        seen += titles(page)
        assert offset in (0, 2)
        offset = page.json()["next_offset"]
    assert seen == ["ann's", "bob's", "nobody's", "public near 0.6"]


def test_last_page_of_the_largest_limit(library, root, settings):
    settings.PGKNOWBASE = {**settings.PGKNOWBASE, "SEARCH": {"MAX_LIMIT": 4}}
    assert root.post(SEARCH, {"query": QUERY, "limit": 4}).json()["next_offset"] == 4
    assert root.post(SEARCH, {"query": QUERY, "limit": 4, "offset": 4}).json()["next_offset"] is None
    problem(root.post(SEARCH, {"query": QUERY, "limit": 5}), 422, "search")


def test_similar(library, ann, root):
    article = library["ann's"]
    assert titles(root.get(SIMILAR, model="blog.Article", key=article.pk))[0] == "bob's"
    assert titles(ann.get(SIMILAR, model="blog.Article", key=article.pk)) == ["public near 0.6"]
    assert titles(root.get(SIMILAR, model="blog.Article", key=article.pk, models="blog.Note")) == ["public near 0.6"]


def test_similar_to_what_is_hidden_gone_or_not_indexed(library, ann, root):
    hidden = ann.get(SIMILAR, model="blog.Article", key=library["bob's"].pk)
    gone = ann.get(SIMILAR, model="blog.Article", key=0)
    told = [problem(response, 404, "not-found")["detail"] for response in (hidden, gone)]
    assert told[0].replace(str(library["bob's"].pk), "0") == told[1]
    waiting = Article.objects.create(title="new", body="near 0.5")
    waiting.sync_to_external_data()
    problem(root.get(SIMILAR, model="blog.Article", key=waiting.pk), 409, "not-indexed")


def test_similar_heeds_a_rule_of_the_model(library, ann, users, monkeypatch):
    monkeypatch.setattr(Note, "visible_to", classmethod(lambda cls, user: cls.notes.none()), raising=False)
    note = Note.notes.get()
    problem(ann.get(SIMILAR, model="blog.Note", key=note.pk), 404)
    assert titles(ann.get(SIMILAR, model="blog.Article", key=library["ann's"].pk)) == []
    found = ExternalData.objects.similar_to(note, visible_to=users["ann"])
    assert not found


def test_document(library, ann, root):
    article = library["ann's"]
    whole = ann.get(DOCUMENT, model="blog.Article", key=article.pk).json()
    assert whole["text"] == article.external_data.content
    assert whole["next_start"] is None
    parts, start = "", 0
    while start is not None:
        part = ann.get(DOCUMENT, model="blog.Article", key=article.pk, start=start, length=7).json()
        parts += part["text"]
        start = part["next_start"]
    assert parts == whole["text"]
    problem(ann.get(DOCUMENT, model="blog.Article", key=library["bob's"].pk), 404, "not-found")


def test_what_is_not_active_is_not_told(library, root):
    ExternalData.objects.update(is_active=False)
    article = library["ann's"]
    problem(root.get(DOCUMENT, model="blog.Article", key=article.pk), 404)
    problem(root.get(SIMILAR, model="blog.Article", key=article.pk), 404)
    assert titles(root.post(SEARCH, {"query": QUERY})) == []


def test_sync(library, users):
    keeper = Asker.session(users["keeper"])
    Article.objects.create(title="fresh", body="near 0.5")
    pk = Article.objects.get(title="fresh").pk
    told = keeper.post(SYNC, {"model_name": "blog.Article", "model_id": pk}).json()
    assert told["success"]
    assert told["external_data_id"] == ExternalData.objects.get(title="fresh").pk
    assert told["message"] == "New in the index."
    Article.objects.filter(pk=pk).delete()
    told = keeper.post(SYNC, {"model_name": "blog.Article", "model_id": str(pk)}).json()
    assert (told["success"], told["external_data_id"]) == (True, None)


def test_sync_of_several(library, users):
    keeper = Asker.session(users["keeper"])
    bad = Note.notes.create(text="explode")
    told = keeper.post(
        BATCH, {"model_name": "blog.Note", "model_ids": [str(bad.pk), str(Note.notes.first().pk)]}
    ).json()
    assert [failure["object_key"] for failure in told["failures"]] == [str(bad.pk)]
    assert "told to explode" in told["failures"][0]["error"]
    keys = [article.pk for article in library.values()]
    told = keeper.post(BATCH, {"model_name": "blog.article", "model_ids": keys}).json()
    assert told["unchanged"] == 3


def test_status(library, users):
    told = Asker.session(users["keeper"]).get(STATUS).json()
    assert told["space"]["dimensions"] == 256
    by_name = {source["model_name"]: source for source in told["sources"]}
    assert by_name["blog.Article"]["synced_instances"] == 3
    assert told["workers"] == []


BAD = {
    "no json": b"{",
    "NaN": b'{"query": "x", "threshold": NaN}',
    "deep": b"[" * 100_000,
    "not utf-8": b'{"query": "\xff"}',
    "no object": [],
    "empty": b"",
    "no query": {},
    "empty query": {"query": ""},
    "blank query": {"query": "  "},
    "long query": {"query": "x" * 10_001},
    "NUL": {"query": "x\x00"},
    "lone surrogate": b'{"query": "\\ud800"}',
    "unknown name": {"query": QUERY, "colour": "red"},
    "limit 0": {"query": QUERY, "limit": 0},
    "large limit": {"query": QUERY, "limit": 101},
    "huge limit": {"query": QUERY, "limit": 10**30},
    "negative offset": {"query": QUERY, "offset": -1},
    "large offset": {"query": QUERY, "offset": 10_001},
    "threshold": {"query": QUERY, "threshold": 1.5},
    "weight": {"query": QUERY, "mode": "hybrid", "dense_weight": 2},
    "weight without its mode": {"query": QUERY, "dense_weight": 0.5},
    "mode": {"query": QUERY, "mode": "third"},
    "model": {"query": QUERY, "models": ["blog.Nothing"]},
    "no source": {"query": QUERY, "models": ["auth.User"]},
    "operator": {"query": QUERY, "metadata": {"year": {"like": 1}}},
    "surrogate in metadata": b'{"query": "x", "metadata": {"\\ud800": "\\udfff"}}',
    "NUL in metadata": {"query": QUERY, "metadata": {"a": "\x00"}},
    "large number": b'{"query": "x", "metadata": {"a": 1e999}}',
    "tags": {"query": QUERY, "tags": "x"},
    "NUL in tags": {"query": QUERY, "tags": ["\x00"]},
    "no zone": {"query": QUERY, "changed_from": "2026-01-01T00:00:00"},
    "before all dates": {"query": QUERY, "changed_from": "0001-01-01T00:00:00+10:00"},
    "no date": {"query": QUERY, "changed_from": "yesterday"},
}


@pytest.mark.parametrize("name", BAD)
def test_bad_body_is_a_problem(root, name):
    status = 400 if name in ("no json", "NaN", "deep", "not utf-8") else 422
    problem(root.post(SEARCH, BAD[name]), status)


BAD_ADDRESSES = {
    "nothing": {},
    "misspelt": {"query": QUERY, "limits": 3},
    "limit": {"query": QUERY, "limit": "many"},
    "metadata": {"query": QUERY, "metadata": "{"},
    "metadata list": {"query": QUERY, "metadata": "[]"},
    "NUL": {"query": "\x00"},
    "threshold": {"query": QUERY, "threshold": "nan"},
}


@pytest.mark.parametrize("name", BAD_ADDRESSES)
def test_bad_address_is_a_problem(root, name):
    problem(root.get(SEARCH, **BAD_ADDRESSES[name]), 422)


@pytest.mark.parametrize("key", ["x", "\x00", "[1]", "9" * 40, "", "1.5", "1e3", "\uff11"])
@pytest.mark.parametrize("model", ["blog.Article", "blog.Note", "blog.Slug"])
def test_bad_keys(root, key, model):
    for path in (SIMILAR, DOCUMENT):
        problem(root.get(path, model=model, key=key), 404)
    response = root.post(SYNC, {"model_name": model, "model_id": key})
    assert response.status_code in (200, 422), response.content


def test_problem_names_the_fields(root):
    told = problem(root.post(SEARCH, {"query": 5, "limit": "x"}), 422, "validation")
    assert [(fault["where"], fault["pointer"]) for fault in told["errors"]] == [("body", "/limit"), ("body", "/query")]
    told = problem(root.get(SEARCH, limit="x", query="y"), 422, "validation")
    assert [(fault["where"], fault["pointer"]) for fault in told["errors"]] == [("query", "/limit")]


def test_other_methods_types_and_paths(root):
    response = root.client.put(SEARCH, "{}", content_type="application/json")
    problem(response, 405, "method")
    assert sorted(response.headers["Allow"].split(", ")) == ["GET", "POST"]
    problem(root.client.post(SEARCH, {"query": QUERY}), 415, "media-type")
    problem(root.get("/api/knowledge/nothing/"), 404, "no-route")
    problem(root.get("/api/"), 404, "no-route")


def test_large_body(root, settings):
    settings.PGKNOWBASE = {**settings.PGKNOWBASE, "API": {"MAX_BODY_BYTES": 100}}
    problem(root.post(SEARCH, {"query": "x" * 100}), 413, "too-large")
    settings.PGKNOWBASE = {**settings.PGKNOWBASE, "API": {"MAX_BODY_BYTES": 10**7}}
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 100
    problem(root.post(SEARCH, {"query": "x" * 100}), 413, "too-large")


def test_embedding_trouble_is_told_without_its_details(library, root, provider, caplog):
    from pgknowbase.errors import RetryableEmbeddingError

    def fail(text):
        raise RetryableEmbeddingError("key sk-secret is refused", retry_after=3)

    provider.vector = fail
    response = root.post(SEARCH, {"query": "something new"})
    assert "secret" not in problem(response, 503, "embedding")["detail"]
    assert response.headers["Retry-After"] == "4"
    assert "sk-secret" in caplog.text
    assert titles(root.post(SEARCH, {"query": "bob", "mode": "keyword"})) == ["bob's"]


def test_entry_in_the_index_is_dated(library, root):
    since = (timezone.now() - timedelta(hours=1)).isoformat()
    assert len(titles(root.get(SEARCH, query=QUERY, changed_from=since))) == 4
