"""Embeddings by the model of the active space, asked by OpenAI's client."""

import openai
import pytest

from pgknowbase.core import gateway
from pgknowbase.errors import RetryableEmbeddingError
from tests.fakes import hashed

pytestmark = pytest.mark.django_db(transaction=True)
MODEL = "wordllama-256"


@pytest.fixture
def ann(client_of, users, provider):
    provider.vector = hashed
    return client_of(users["ann"], "search")


def spent():
    rows = gateway.fetch_dicts("default", "costs", since=None, by="tenant")
    return {row["name"]: (row["texts"], row["tokens"], row["calls"], row["failed_calls"]) for row in rows}


def test_vectors(ann, users, provider):
    texts = ["one", "two words"]
    for encoding in ("float", "base64", None):  # without one the client asks for base64, and decodes it
        more = {"encoding_format": encoding} if encoding else {}
        answer = ann.embeddings.create(model=MODEL, input=texts, **more)
        assert (answer.model, [each.index for each in answer.data]) == (MODEL, [0, 1])
        if encoding != "base64":
            assert [each.embedding for each in answer.data] == [hashed(text) for text in texts]
        assert (answer.usage.prompt_tokens, answer.usage.total_tokens) == (3, 3)
        assert answer.usage.cost == 0.0
    assert provider.texts == texts * 3
    assert spent() == {str(users["ann"].pk): (6, 9, 3, 0)}
    assert ann.embeddings.create(model="default", input="one", dimensions=256).data[0].embedding == hashed("one")
    assert ann.embeddings.create(model=MODEL, input="one", extra_body={"input_type": "query"}).data
    assert provider.texts[-1] == "one"
    assert len(provider.calls) == 4  # the last one was embedded as a query


def test_many_texts_go_in_batches(ann, provider):
    texts = [f"text {number}" for number in range(150)]
    answer = ann.embeddings.create(model=MODEL, input=texts)
    assert [each.embedding for each in answer.data] == [hashed(text) for text in texts]
    assert [len(call) for call in provider.calls] == [64, 64, 22]


@pytest.mark.parametrize(
    ("asked", "param"),
    [
        ({"input": []}, "input"),
        ({"input": ""}, "input"),
        ({"input": ["good", " "]}, "input"),
        ({"input": "a\0"}, "input[0]"),
        ({"input": [1, 2]}, "input"),
        ({"input": [[1, 2]]}, "input"),
        ({"input": ["x"] * 2049}, "input"),
        ({"input": "x", "dimensions": 10}, "dimensions"),
        ({"input": "x", "dimensions": 0}, "dimensions"),
        ({"input": "x", "encoding_format": "hex"}, "encoding_format"),
    ],
)
def test_what_is_refused(ann, provider, asked, param):
    with pytest.raises(openai.BadRequestError) as refused:
        ann.embeddings.create(model=MODEL, **asked)
    assert (refused.value.param, refused.value.type) == (param, "invalid_request_error")
    assert provider.calls == []
    assert spent() == {}


def test_who_is_refused(ann, client_of, users, provider):
    with pytest.raises(openai.NotFoundError) as refused:
        ann.embeddings.create(model="text-embedding-3-small", input="x")
    assert (refused.value.code, refused.value.param) == ("model_not_found", "model")
    with pytest.raises(openai.PermissionDeniedError) as refused:
        client_of(users["ann"], "chat").embeddings.create(model=MODEL, input="x")
    assert refused.value.code == "missing_scope"
    assert provider.calls == []


def test_provider_that_fails(ann, users, provider):
    def fail(texts):
        raise RetryableEmbeddingError("the host secret.example is down", retry_after=7)

    provider.before = fail
    with pytest.raises(openai.InternalServerError) as refused:
        ann.embeddings.create(model=MODEL, input="x")
    assert (refused.value.status_code, refused.value.response.headers["Retry-After"]) == (503, "8")
    assert "secret.example" not in str(refused.value)
    assert spent() == {str(users["ann"].pk): (0, 0, 1, 1)}


def test_caps(ann, users, provider, settings):
    caps = [{"TOKENS": 10, "PER": "day"}]
    settings.PGKNOWBASE = {**settings.PGKNOWBASE, "COSTS": {"CAPS": caps}}
    ann.embeddings.create(model=MODEL, input="eight characters or so, and more")
    with pytest.raises(openai.RateLimitError) as refused:
        ann.with_options(max_retries=2).embeddings.create(model=MODEL, input="x" * 60)
    assert (refused.value.code, refused.value.type) == ("insufficient_quota", "insufficient_quota")
    assert len(provider.calls) == 1
    # What was reserved is what was used.
    assert spent() == {str(users["ann"].pk): (1, 6, 1, 0)}
