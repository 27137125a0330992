"""Rerankers behind HTTP, against a real server that answers as each test says."""

import json
import re

import pytest
from django.test import override_settings

from pgknowbase.checks import check_settings
from pgknowbase.errors import ConfigurationError, LateRerankError, RerankError
from pgknowbase.rerank import HTTPReranker
from pgknowbase.rerank.base import Deadline
from tests.unit.embeddings.conftest import Provider, provider  # noqa: F401

TEXTS = ["a", "b", "c"]


@pytest.fixture
def make(provider: Provider):  # noqa: F811
    made = []

    def reranker(**options):
        made.append(HTTPReranker(**{"model": "m", "url": provider.url, **options}))
        return made[-1]

    yield reranker
    for each in made:
        each.close()


def scored(reranker, seconds=60.0):
    return reranker.score("q", TEXTS, Deadline.after(seconds))


def results(*pairs, name="relevance_score"):
    return [{"index": place, name: score} for place, score in pairs]


def test_the_form_of_cohere(provider, make):  # noqa: F811
    provider.fixed(200, json.dumps({"id": "x", "results": results((2, 0.9), (0, 0.5), (1, 0))}).encode())
    assert scored(make()).scores == [0.5, 0.0, 0.9]
    assert provider.bodies == [{"model": "m", "query": "q", "documents": TEXTS, "top_n": 3}]
    assert "authorization" not in provider.headers[0]


def test_the_form_of_jina(provider, make, monkeypatch):  # noqa: F811
    monkeypatch.setenv("JINA_KEY", "sk-jina-secret")
    answer = {"model": "m", "usage": {"total_tokens": 42}, "results": results((1, 0.9), (0, -3.5), (2, 1e-9))}
    provider.fixed(200, json.dumps(answer).encode())
    found = scored(make(format="jina", api_key_env="JINA_KEY"))
    assert (list(found.scores), found.total_tokens) == ([-3.5, 0.9, 1e-9], 42)
    assert provider.bodies[0]["return_documents"] is False
    assert provider.headers[0]["authorization"] == "Bearer sk-jina-secret"


def test_the_form_of_text_embeddings_inference(provider, make):  # noqa: F811
    provider.fixed(200, json.dumps(results((0, 0.1), (2, 0.3), (1, 0.2), name="score")).encode())
    assert scored(make(format="tei")).scores == [0.1, 0.2, 0.3]
    assert provider.bodies == [{"query": "q", "texts": TEXTS, "truncate": True}]


BROKEN = {
    "no JSON": b"<html>",
    "half an answer": b'{"results": [{"index": 0,',
    "nothing": b"",
    "another thing": b'"ok"',
    "no results": b'{"data": []}',
    "results of another kind": b'{"results": [1, 2, 3]}',
    "too few": json.dumps(results((0, 1), (1, 1))).encode(),
    "too many": json.dumps(results((0, 1), (1, 1), (2, 1), (3, 1))).encode(),
    "one twice": json.dumps(results((0, 1), (1, 1), (1, 1))).encode(),
    "a place below 0": json.dumps(results((0, 1), (-1, 1), (1, 1))).encode(),
    "a place as text": json.dumps(results((0, 1), ("1", 1), (2, 1))).encode(),
    "a score as text": json.dumps(results((0, 1), (1, "1"), (2, 1))).encode(),
    "no score": json.dumps([{"index": 0}, {"index": 1}, {"index": 2}]).encode(),
    "NaN": json.dumps(results((0, 1), (1, float("nan")), (2, 1))).encode(),
    "infinity": json.dumps(results((0, 1), (1, float("inf")), (2, 1))).encode(),
    "a number beyond all": b'[{"index": 0, "score": 1}, {"index": 1, "score": 1}, {"index": 2, "score": 1'
    + b"0" * 400
    + b"}]",
    "too deep": b"[" * 20_000,
    "too much": b" " * 1_000_000 + b"[]",
}


@pytest.mark.parametrize("answer", BROKEN)
def test_answers_that_are_broken(provider, make, answer):  # noqa: F811
    provider.fixed(200, BROKEN[answer])
    with pytest.raises(RerankError, match=r"'127.0.0.1'"):
        scored(make())


def test_refusals_say_what_the_server_says_and_no_key(provider, make, monkeypatch):  # noqa: F811
    monkeypatch.setenv("RERANK_KEY", "sk-rerank-secret")
    reranker = make(api_key_env="RERANK_KEY")
    for status in (400, 401, 404, 413, 422, 429, 500, 503):
        provider.fixed(status, b'{"error": {"message": "no sk-rerank-secret here"}}', Retry_After="7")
        with pytest.raises(RerankError, match=f"answered {status} for 'm': 'no .* here'. Check URL") as caught:
            scored(reranker)
        assert caught.value.retry_after == 7
        assert "secret" not in str(caught.value)
    provider.fixed(307, b"", Location="http://127.0.0.1:1/elsewhere")
    with pytest.raises(RerankError, match=r"answered 307 .* where the server really is"):
        scored(reranker)
    assert len(provider.bodies) == 9, "a redirection is not followed: it would take the key elsewhere"


def test_answers_that_are_late(provider, make):  # noqa: F811
    reranker = make()
    provider.answer = lambda body: provider.released.wait(60) and None
    with pytest.raises(LateRerankError, match=r"did not answer for 'm' within 0\.\d\d s .*TIMEOUT"):
        scored(reranker, 0.2)
    provider.fixed(200, json.dumps(results((0, 1), (1, 1), (2, 1))).encode())
    provider.drip = 0.02
    with pytest.raises(LateRerankError, match="raise TIMEOUT"):
        scored(reranker, 0.3)
    with pytest.raises(LateRerankError):
        scored(reranker, 0)


def test_lost_connections(provider, make):  # noqa: F811
    provider.answer = lambda body: None
    with pytest.raises(RerankError, match=r"failed .*check URL"):
        scored(make())
    with pytest.raises(RerankError, match=r"failed .*check URL"):
        scored(make(url="http://127.0.0.1:1/rerank"))


def test_compressed_answers_are_refused(provider, make):  # noqa: F811
    provider.fixed(200, b"\x1f\x8b", Content_Encoding="gzip")
    with pytest.raises(RerankError, match="compressed"):
        scored(make())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"url": ""}, "URL '' must begin with http"),
        ({"url": "ftp://host/"}, "must begin with http"),
        ({"url": "http://a:b@host/rerank"}, "neither a password"),
        ({"url": 5}, "URL 5"),
        ({"format": "openai"}, "FORMAT 'openai' is unknown"),
        ({"max_texts": 0}, "MAX_TEXTS is 0"),
    ],
)
def test_wrong_options(make, options, message):
    with pytest.raises(ConfigurationError, match=message):
        make(**options)


@pytest.mark.parametrize(
    ("entry", "found"),
    [
        ({"BACKEND": "pgknowbase.rerank.Nope"}, ("pgknowbase.E060", "cannot be imported")),
        ({"BACKEND": "pgknowbase.embeddings.StaticEmbedder"}, ("pgknowbase.E060", "is not a subclass of Reranker")),
        ({"OPTIONS": {"URI": "http://h"}}, ("pgknowbase.E060", r"refuses its options \['URI'\]")),
        ({"OPTIONS": {"URL": "http://h", "API_KEY_ENV": "NO_SUCH_KEY"}}, ("pgknowbase.W061", "holds no API key")),
        ({"OPTIONS": {"URL": "http://h"}, "TIMEOUT": 0}, ("pgknowbase.E001", "RERANKERS.default.TIMEOUT")),
        ({"OPTIONS": {"URL": "http://h"}, "CANDIDATES": 1}, ("pgknowbase.E001", "RERANKERS.default.CANDIDATES")),
    ],
)
def test_checks(settings, entry, found):
    entry = {"BACKEND": "pgknowbase.rerank.HTTPReranker", "MODEL": "m", **entry}
    with override_settings(PGKNOWBASE={**settings.PGKNOWBASE, "RERANKERS": {"default": entry}}):
        (message,) = check_settings()
    assert message.id == found[0]
    assert re.search(found[1], message.msg)


def test_a_reranker_that_is_called_off(settings):
    entry = {"BACKEND": "pgknowbase.rerank.HTTPReranker", "MODEL": "m", "OPTIONS": {"URL": "http://h"}}
    with override_settings(PGKNOWBASE={**settings.PGKNOWBASE, "RERANKERS": {"off": entry}}):
        (message,) = check_settings()
    assert "not 'off'" in message.msg
