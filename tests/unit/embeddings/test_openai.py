import base64
import gzip
import json
import logging
import struct
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import openai
import pytest

from pgknowbase.embeddings import OpenAIEmbedder
from pgknowbase.errors import (
    ConfigurationError,
    EmbeddingError,
    EmbeddingSetupError,
    PermanentEmbeddingError,
    RetryableEmbeddingError,
)

SCRIPTS = ["Grüße aus Köln", "مرحبا بالعالم", "नमस्ते दुनिया", "你好 世界"]


def answer(*items: dict, **more: object) -> bytes:
    return json.dumps({"data": list(items), **more}).encode()


def test_request_and_answer(provider, make_embedder):
    provider.vectors(lambda i, text: [i + 1.0, len(text)], usage={"prompt_tokens": 9, "total_tokens": 9})
    embeddings = make_embedder().embed_documents(SCRIPTS)
    assert embeddings.vectors == [[i + 1.0, len(text)] for i, text in enumerate(SCRIPTS)]
    assert embeddings.tokens is None
    assert provider.bodies == [{"input": SCRIPTS, "model": "m", "encoding_format": "base64"}]
    assert provider.headers[0]["authorization"] == "Bearer sk-test-secret"


def test_token_count_of_one_text(provider, make_embedder):
    provider.vectors(lambda i, text: [1.0, 0.0], usage={"prompt_tokens": 9, "total_tokens": 9})
    assert make_embedder().embed_documents(["one"]).tokens == [9]


def test_no_texts_no_call(provider, make_embedder):
    assert make_embedder().embed_documents([]).vectors == []
    assert provider.bodies == []


def test_base64_is_asked_for_and_read(provider, make_embedder):
    provider.vectors(lambda i, text: base64.b64encode(struct.pack("<2f", 0.5, -2)).decode())
    assert make_embedder().embed_query("x") == [0.5, -2.0]
    assert provider.bodies[0]["encoding_format"] == "base64"


@pytest.mark.parametrize(
    ("options", "sent"),
    [
        ({}, None),
        ({"model": "text-embedding-3-small"}, 2),
        ({"send_dimensions": True}, 2),
        ({"model": "text-embedding-3-small", "send_dimensions": False}, None),
    ],
)
def test_dimensions_are_sent_only_where_known(provider, make_embedder, options, sent):
    provider.vectors(lambda i, text: [1.0, 0.0])
    make_embedder(**options).embed_query("x")
    assert provider.bodies[0].get("dimensions") == sent


def test_prefixes(provider, make_embedder):
    provider.vectors(lambda i, text: [1.0, 0.0])
    embedder = make_embedder(query_prefix="query: ", document_prefix="passage: ")
    embedder.embed_query("a")
    embedder.embed_documents(["b"])
    assert [body["input"] for body in provider.bodies] == [["query: a"], ["passage: b"]]


def test_answers_are_put_in_order(provider, make_embedder):
    items = [{"index": 1, "embedding": [2.0, 2.0]}, {"index": 0, "embedding": [1, 1]}]
    provider.fixed(200, answer(*items))
    assert make_embedder().embed_documents(["a", "b"]).vectors == [[1.0, 1.0], [2.0, 2.0]]


def numbered(*indexes: object) -> bytes:
    """The first vector is [1, 1], the second [2, 2]; ``...`` stands for an item without an index."""
    items = [{"index": index, "embedding": [place + 1.0] * 2} for place, index in enumerate(indexes)]
    return answer(*({key: value for key, value in item.items() if value is not ...} for item in items))


@pytest.mark.parametrize(
    "indexes",
    [
        (0, 0), (1, 1), (0, 2), (-1, 0), (2, 3), (False, True), (0, 1.5), (0, "one"), (0, [1]), (0, float("nan")),
        (2, None), (2.0, ...), (1, None), (..., 0), (None, "0"), (0, "-1"), (0, "1_0"),
    ],
)  # fmt: skip
def test_indexes_that_contradict_each_other_are_retryable(provider, make_embedder, indexes):
    provider.fixed(200, numbered(*indexes))
    with pytest.raises(RetryableEmbeddingError, match="index"):
        make_embedder().embed_documents(["a", "b"])


@pytest.mark.parametrize(
    ("indexes", "order"),
    [
        ((..., ...), "ab"),
        ((None, None), "ab"),
        (("", ""), "ab"),
        ((..., 1), "ab"),  # Gemini leaves out what is 0
        ((0, None), "ab"),
        ((None, "1"), "ab"),
        (("0", "1"), "ab"),
        (("1", "0"), "ba"),
        ((1.0, 0.0), "ba"),
        (("1.0", "0.0"), "ba"),
        ((1, 2), "ab"),
        ((2, 1), "ba"),
        (("2", "1"), "ba"),
    ],
)
def test_position_counts_where_the_index_says_nothing(provider, make_embedder, indexes, order):
    provider.fixed(200, numbered(*indexes))
    first, second = ([1.0, 1.0], [2.0, 2.0]) if order == "ab" else ([2.0, 2.0], [1.0, 1.0])
    assert make_embedder().embed_documents(["a", "b"]).vectors == [first, second]


def test_one_vector_counted_from_one(provider, make_embedder):
    provider.fixed(200, numbered(1))
    assert make_embedder().embed_query("a") == [1.0, 1.0]


@pytest.mark.parametrize("count", [1, 3])
def test_another_number_of_vectors_is_retryable(provider, make_embedder, count):
    provider.fixed(200, numbered(*[...] * count))
    with pytest.raises(RetryableEmbeddingError, match=f"{count} vectors for 2 texts"):
        make_embedder().embed_documents(["a", "b"])


def test_answers_without_index_keep_their_order(provider, make_embedder):
    provider.fixed(200, answer({"embedding": [1.0, 1.0]}, {"embedding": [2.0, 2.0]}))
    assert make_embedder().embed_documents(["a", "b"]).vectors == [[1.0, 1.0], [2.0, 2.0]]


@pytest.mark.parametrize(
    ("header", "value", "low", "high"),
    [
        ("Retry_After", "7", 7, 7),
        ("Retry_After", "1.5", 1.5, 1.5),
        ("Retry_After", "-3", 0, 0),
        ("Retry_After_Ms", "250", 0.25, 0.25),
        ("Retry_After", "Wed, 21 Oct 2015 07:28:00 GMT", 0, 0),
        ("Retry_After", "Wed, 21 Oct 2015 07:28:00 -0000", 0, 0),
    ],
)
def test_429_with_retry_after(provider, make_embedder, header, value, low, high):
    provider.fixed(429, b'{"error": {"message": "slow down"}}', **{header: value})
    with pytest.raises(RetryableEmbeddingError, match="slow down") as caught:
        make_embedder().embed_query("x")
    assert low <= caught.value.retry_after <= high


def test_429_with_retry_after_a_date(provider, make_embedder):
    value = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)
    provider.fixed(429, b"{}", Retry_After=value)
    with pytest.raises(RetryableEmbeddingError) as caught:
        make_embedder().embed_query("x")
    assert 3500 <= caught.value.retry_after <= 3600


@pytest.mark.parametrize("value", ["soon", "nan", "inf", "", "Wed, 99 Oct 2015"])
def test_retry_after_that_says_nothing(provider, make_embedder, value):
    provider.fixed(429, b"", Retry_After=value)
    with pytest.raises(RetryableEmbeddingError) as caught:
        make_embedder().embed_query("x")
    assert caught.value.retry_after is None


@pytest.mark.parametrize("status", [408, 409, 425, 429, 500, 502, 503, 504, 529])
def test_statuses_to_retry(provider, make_embedder, status):
    provider.fixed(status, b"<html>busy</html>")
    with pytest.raises(RetryableEmbeddingError, match=rf"{status}.*busy"):
        make_embedder().embed_query("x")


@pytest.mark.parametrize("status", [301, 400, 401, 402, 403, 404, 405, 410, 413, 422, 424, 451, 498])
def test_statuses_that_stay(provider, make_embedder, status):
    provider.fixed(status, b'{"error": {"message": "bad key sk-test-secret ' + b"x" * 900 + b'"}}')
    with pytest.raises(PermanentEmbeddingError, match=r"bad key \*\*\* x") as caught:
        make_embedder().embed_query("x")
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<html>",
        b"[]",
        b"null",
        b'{"data": null}',
        b'{"data": [1]}',
        b'{"data": []}',
        b'{"data": [{}]}',
        b'{"data": [{"embedding": "???"}]}',
        b'{"data": [{"embedding": "AAAA"}]}',
        b'{"data": [{"embedding": [1, "a"]}]}',
        b'{"data": [{"embedding": [true, false]}]}',
        b'{"data": [{"embedding": [1, 2]}, {"embedding": [1, 2]}]}',
        b"[" * 50_000,
    ],
)
def test_malformed_answers_are_retryable(provider, make_embedder, content):
    provider.fixed(200, content)
    with pytest.raises(RetryableEmbeddingError, match="malformed"):
        make_embedder().embed_query("x")


@pytest.mark.parametrize(
    ("vector", "said"),
    [
        ([1.0], "1 dimensions"),
        ([1.0, 2.0, 3.0], "3 dimensions"),
        ([], "0 dimensions"),
        ([float("nan"), 1.0], "nan"),
        ([None, 1.0], "nan"),
        ([1.0, float("-inf")], "-inf"),
        ([10**400, 1], "inf"),
        ([0.0, 0], "only zeros"),
    ],
)
def test_unusable_vectors_are_permanent(provider, make_embedder, vector, said):
    provider.vectors(lambda i, text: [1.0, 1.0] if i == 0 else vector)
    with pytest.raises(PermanentEmbeddingError, match=f"'m'.*text 1.*{said}|'m'.*{said}.*text 1"):
        make_embedder().embed_documents(["a", "b"])


def test_slow_server_times_out(provider, make_embedder):
    provider.answer = lambda body: provider.released.wait(120) and None
    started = time.monotonic()
    with pytest.raises(RetryableEmbeddingError, match="TIMEOUT"):
        make_embedder(timeout=0.2).embed_query("x")
    assert time.monotonic() - started < 60


def test_dripping_answer_times_out(provider, make_embedder):
    provider.drip = 0.1
    provider.fixed(200, b" " * 1200)
    started = time.monotonic()
    with pytest.raises(RetryableEmbeddingError, match="TIMEOUT"):
        make_embedder(timeout=0.3).embed_query("x")
    assert time.monotonic() - started < 60


def test_endless_answer_is_cut(provider, make_embedder):
    provider.fixed(200, b" " * 2**22)
    with pytest.raises(RetryableEmbeddingError, match="bytes"):
        make_embedder().embed_query("x")


def test_disconnect_and_refused_connection(provider, make_embedder):
    provider.answer = lambda body: None
    with pytest.raises(RetryableEmbeddingError, match="BASE_URL"):
        make_embedder().embed_query("x")
    provider.fixed(200, b"{", Content_Length="900")
    with pytest.raises(RetryableEmbeddingError):
        make_embedder(timeout=0.3).embed_query("x")
    with pytest.raises(RetryableEmbeddingError, match="ConnectError"):
        make_embedder(base_url="http://127.0.0.1:1/v1").embed_query("x")


def test_recovers_on_the_same_instance(provider, make_embedder):
    embedder = make_embedder()
    provider.answer = lambda body: None
    with pytest.raises(RetryableEmbeddingError):
        embedder.embed_query("x")
    provider.vectors(lambda i, text: [1.0, 2.0])
    assert embedder.embed_query("x") == [1.0, 2.0]


def test_threads_share_an_instance(provider, make_embedder):
    provider.vectors(lambda i, text: [float(text), 1.0])
    embedder = make_embedder()
    with ThreadPoolExecutor(8) as pool:
        vectors = list(pool.map(lambda n: embedder.embed_query(str(n)), range(60)))
    assert vectors == [[float(n), 1.0] for n in range(60)]


@pytest.mark.parametrize("text", ["", " \n\t", "\ud800"])
def test_bad_text_is_refused_before_the_call(provider, make_embedder, text):
    with pytest.raises(PermanentEmbeddingError, match="Text 1"):
        make_embedder().embed_documents(["good", text])
    assert provider.bodies == []


def test_limits(provider, make_embedder):
    embedder = make_embedder(max_texts=2, max_characters=10)
    with pytest.raises(PermanentEmbeddingError, match="3 texts"):
        embedder.embed_documents(["a"] * 3)
    with pytest.raises(PermanentEmbeddingError, match="11 characters"):
        embedder.embed_documents(["a" * 5, "b" * 6])


def test_key_is_read_late_and_kept_secret(provider, make_embedder, monkeypatch):
    provider.vectors(lambda i, text: [1.0, 0.0])
    embedder = make_embedder(api_key_env="OTHER_KEY")
    monkeypatch.delenv("OTHER_KEY", raising=False)
    with pytest.raises(ConfigurationError, match="'OTHER_KEY'"):
        embedder.embed_query("x")
    monkeypatch.setenv("OTHER_KEY", "sk-other\n")
    embedder.embed_query("x")
    assert provider.headers[0]["authorization"] == "Bearer sk-other"
    assert "sk-other" not in repr(embedder) + repr(vars(embedder))
    monkeypatch.setenv("OTHER_KEY", "sk-ä")
    with pytest.raises(ConfigurationError) as caught:
        embedder.embed_query("x")
    assert "sk-ä" not in str(caught.value)


def test_no_key_wanted(provider, make_embedder):
    provider.vectors(lambda i, text: [1.0, 0.0])
    make_embedder(api_key_env=None).embed_query("x")
    assert "authorization" not in provider.headers[0]


def test_base_url_from_the_environment(provider, make_embedder, monkeypatch):
    provider.vectors(lambda i, text: [1.0, 0.0])
    monkeypatch.setenv("OPENAI_BASE_URL", provider.url + "/")
    assert make_embedder(base_url=None).embed_query("x") == [1.0, 0.0]


@pytest.mark.parametrize(
    "options",
    [
        {"base_url": "ftp://host/v1"},
        {"base_url": "localhost:8000"},
        {"base_url": "http://user:secret@host/v1"},
        {"base_url": "http://host:port/v1"},
        {"base_url": 5},
        {"timeout": 0},
        {"timeout": "30"},
        {"max_texts": -1},
        {"encoding_format": "int8"},
    ],
)
def test_wrong_options(options):
    with pytest.raises(ConfigurationError) as caught:
        OpenAIEmbedder(**{"model": "m", "dimensions": 2, **options})
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("status", [200, 429])
def test_answers_that_are_compressed_unasked_are_retryable(provider, make_embedder, status):
    """Their size is known only when they fill the memory."""
    provider.fixed(status, gzip.compress(b" " * 2**20), Content_Encoding="gzip")
    with pytest.raises(RetryableEmbeddingError, match="compressed"):
        make_embedder().embed_query("x")
    assert provider.headers[0]["accept-encoding"] == "identity"


@pytest.mark.parametrize("status", [400, 500])
def test_endless_error_is_cut(provider, make_embedder, status):
    provider.fixed(status, b" " * 2**22)
    with pytest.raises(RetryableEmbeddingError, match="bytes"):
        make_embedder().embed_query("x")


def test_redirection_is_not_followed(provider, make_embedder):
    provider.fixed(308, b"", Location=provider.url + "/elsewhere")
    with pytest.raises(EmbeddingSetupError, match="308"):
        make_embedder().embed_query("x")
    assert len(provider.bodies) == 1


def test_key_is_in_no_log_and_no_traceback(provider, make_embedder, caplog):
    """Whatever the server answers, and with the loggers of all packages at their most talkative."""
    caplog.set_level(logging.DEBUG)
    encoded = base64.b64encode(b"me:sk-test-secret").decode()
    answers = [(401, b"sk-test-secret"), (400, encoded.encode()), (200, b"sk-test-secret"), (200, b'{"data": []}')]
    for status, body in answers:
        provider.fixed(status, body)
        with pytest.raises(EmbeddingError) as caught:
            make_embedder().embed_query("x")
        shown = "".join(traceback.format_exception(caught.value)) + caplog.text
        assert "secret" not in shown
        assert encoded not in shown
    assert caplog.text


def test_what_the_package_cannot_do(provider):
    """Why answers are read by ``answers`` and calls bounded by ``bounded_http``: see docs/dependencies.md."""
    client = openai.OpenAI(base_url=provider.url, api_key="-", max_retries=0, timeout=1)
    # It takes an answer with too few vectors, in the wrong order, with base64 that it was asked for unread.
    provider.fixed(200, answer({"index": 1, "embedding": "AAAAAA=="}, {"index": 0, "embedding": None}))
    data = client.embeddings.create(model="m", input=["a", "b", "c"], encoding_format="base64").data
    assert [(item.index, item.embedding) for item in data] == [(1, "AAAAAA=="), (0, None)]
    # Its timeout is that of one read.
    provider.fixed(200, answer({"embedding": [1.0]}))
    provider.drip = 0.1
    started = time.monotonic()
    assert client.embeddings.create(model="m", input=["a"], encoding_format="float").data
    assert time.monotonic() - started > 1
    client.close()
