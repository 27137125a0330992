"""The backend for other providers, against real servers that speak their formats."""

import json
import logging
import traceback
from concurrent.futures import ThreadPoolExecutor

import pytest

from pgknowbase.embeddings import PydanticAIEmbedder
from pgknowbase.embeddings.rate_headers import ReportedRate
from pgknowbase.errors import (
    ConfigurationError,
    EmbeddingSetupError,
    MissingExtraError,
    PermanentEmbeddingError,
    RefusedEmbeddingError,
    RetryableEmbeddingError,
    ThrottledEmbeddingError,
)


@pytest.fixture
def make_embedder(provider, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test-secret")
    monkeypatch.setenv("OPENAI_BASE_URL", provider.url)
    made = []

    def make(**options):
        embedder = PydanticAIEmbedder(**{"model": "openai:m", "dimensions": 2, **options})
        made.append(embedder)
        return embedder

    yield make
    for embedder in made:
        embedder.close()


def test_documents_and_queries(provider, make_embedder):
    provider.vectors(lambda i, text: [i + 1.0, 2.0], model="m", usage={"prompt_tokens": 5, "total_tokens": 5})
    embedder = make_embedder()
    assert embedder.embed_documents(["a", "b"]).vectors == [[1.0, 2.0], [2.0, 2.0]]
    assert embedder.embed_documents(["a"]).tokens == [5]
    assert embedder.embed_query("q") == [1.0, 2.0]
    assert embedder.embed_documents([]).vectors == []
    assert provider.headers[0]["authorization"] == "Bearer sk-test-secret"
    assert embedder.provider == "127.0.0.1"


def test_headers_of_an_answer_say_the_rate(provider, make_embedder):
    provider.vectors(lambda i, text: [1.0, 2.0], model="m")
    answer = provider.answer
    headers = {"x-ratelimit-limit-requests": "3000", "x-ratelimit-limit-tokens": "1000000"}
    provider.answer = lambda body: (200, {**headers, "Content-Type": "application/json"}, answer(body)[2])
    embedder = make_embedder()
    assert embedder.embed_documents(["a"]).rate == ReportedRate(requests=3000, tokens=1_000_000)
    provider.answer = answer
    assert embedder.embed_documents(["a"]).rate is None, "what another answer has said is not repeated"


def test_dimensions_are_sent_where_wanted(provider, make_embedder):
    provider.vectors(lambda i, text: [1.0, 2.0], model="m")
    make_embedder(send_dimensions=True).embed_query("q")
    make_embedder().embed_query("q")
    assert [body.get("dimensions") for body in provider.bodies] == [2, None]


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, RefusedEmbeddingError),
        (402, RefusedEmbeddingError),
        (422, RefusedEmbeddingError),
        (401, EmbeddingSetupError),
        (404, EmbeddingSetupError),
        (429, ThrottledEmbeddingError),
        (500, RetryableEmbeddingError),
    ],
)
def test_each_status_in_the_providers_words_without_the_key(provider, make_embedder, status, error, caplog):
    caplog.set_level(logging.DEBUG)
    body = b'{"error": {"message": "not with sk-test-secret"}}'
    provider.fixed(status, body, Content_Type="application/json", Retry_After="0.01")
    with pytest.raises(error, match=rf"{status}.*not with \*\*\*") as caught:
        make_embedder().embed_query("q")
    assert "secret" not in "".join(traceback.format_exception(caught.value)) + caplog.text
    assert len(provider.bodies) == 1
    if isinstance(caught.value, RetryableEmbeddingError):
        assert caught.value.retry_after == 0.01


def test_lost_connection_and_slow_server(provider, make_embedder, monkeypatch):
    provider.answer = lambda body: provider.released.wait(20) and None
    with pytest.raises(RetryableEmbeddingError, match="TIMEOUT"):
        make_embedder(timeout=0.3).embed_query("q")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:1/v1")
    with pytest.raises(RetryableEmbeddingError, match="failed"):
        make_embedder().embed_query("q")


@pytest.mark.parametrize("vectors", [[[1.0, 2.0]], [[1.0, 2.0]] * 3])
def test_another_number_of_vectors(provider, make_embedder, vectors):
    data = [{"index": i, "embedding": vector} for i, vector in enumerate(vectors)]
    provider.fixed(200, json.dumps({"data": data, "model": "m"}).encode(), Content_Type="application/json")
    with pytest.raises(RetryableEmbeddingError, match=f"{len(vectors)} vectors for 2 texts"):
        make_embedder().embed_documents(["a", "b"])


@pytest.mark.parametrize(("vector", "error"), [([0.0, 0.0], PermanentEmbeddingError), ([1.0], EmbeddingSetupError)])
def test_unusable_vectors(provider, make_embedder, vector, error):
    provider.vectors(lambda i, text: vector, model="m")
    with pytest.raises(error):
        make_embedder().embed_query("q")


def test_threads_share_an_instance(provider, make_embedder):
    provider.vectors(lambda i, text: [float(text), 1.0], model="m")
    embedder = make_embedder()
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda n: embedder.embed_query(str(n)), range(1, 40))) == [
            [float(n), 1.0] for n in range(1, 40)
        ]


def test_bad_text_is_refused_before_the_call(provider, make_embedder):
    with pytest.raises(PermanentEmbeddingError, match="Text 1"):
        make_embedder().embed_documents(["good", " "])
    assert provider.bodies == []


@pytest.mark.parametrize("options", [{"model": "m"}, {"model": ":m"}, {"model": "openai:"}, {"timeout": 0}])
def test_wrong_options(options):
    with pytest.raises(ConfigurationError):
        PydanticAIEmbedder(**{"model": "openai:m", "dimensions": 2, **options})


def test_what_is_missing_is_named(make_embedder, monkeypatch):
    with pytest.raises(ConfigurationError, match="nobody:m"):
        make_embedder(model="nobody:m").verify()
    monkeypatch.delenv("OPENAI_API_KEY")
    monkeypatch.delenv("OPENAI_BASE_URL")
    with pytest.raises(ConfigurationError, match="OPENAI_API_KEY"):
        make_embedder().verify()
    with pytest.raises(MissingExtraError, match="sentence-transformers"):
        make_embedder(model="sentence-transformers:all-MiniLM-L6-v2").verify()


def test_cohere(provider, monkeypatch):
    """Its own format and client: documents and queries are told apart, and the key is in no error."""
    pytest.importorskip("cohere")
    monkeypatch.setenv("CO_API_KEY", "co-test-secret-1")
    monkeypatch.setenv("CO_BASE_URL", provider.url.removesuffix("/v1"))

    def answer(body):
        texts = body["texts"]
        embeddings = {"float": [[1.0, float(len(text))] for text in texts]}
        usage = {"api_version": {"version": "2"}, "billed_units": {"input_tokens": 3}}
        content = {
            "id": "1",
            "embeddings": embeddings,
            "texts": texts,
            "meta": usage,
            "response_type": "embeddings_by_type",
        }
        headers = {"Content-Type": "application/json", "X-Trial-Endpoint-Call-Limit": "100"}
        return 200, headers, json.dumps(content).encode()

    provider.answer = answer
    embedder = PydanticAIEmbedder(model="cohere:embed-v4.0", dimensions=2)
    try:
        found = embedder.embed_documents(["a", "bb"])
        assert found.vectors == [[1.0, 1.0], [1.0, 2.0]]
        assert found.rate == ReportedRate(requests=100)
        assert embedder.embed_query("ccc") == [1.0, 3.0]
        assert [body["input_type"] for body in provider.bodies] == ["search_document", "search_query"]
        provider.fixed(402, b'{"message": "no credit for co-test-secret-1"}', Content_Type="application/json")
        with pytest.raises(RefusedEmbeddingError, match=r"402.*no credit for \*\*\*") as caught:
            embedder.embed_query("q")
        assert "secret" not in "".join(traceback.format_exception(caught.value))
        provider.bodies.clear()
        provider.fixed(429, b'{"message": "slow down"}', Content_Type="application/json", Retry_After="7")
        with pytest.raises(ThrottledEmbeddingError, match="slow down") as throttled:
            embedder.embed_query("q")
        assert throttled.value.retry_after == 7
        assert len(provider.bodies) == 1
    finally:
        embedder.close()
