"""What the headers of OpenAI, Azure, Cohere and others say of limits."""

import json

import pytest

from pgknowbase.embeddings import OpenAIEmbedder
from pgknowbase.embeddings.rate_headers import ReportedRate, parse_rate
from pgknowbase.errors import ThrottledEmbeddingError

OPENAI = {
    "x-ratelimit-limit-requests": "3000",
    "x-ratelimit-limit-tokens": "1000000",
    "x-ratelimit-remaining-requests": "2999",
    "x-ratelimit-remaining-tokens": "999990",
    "x-ratelimit-reset-requests": "20ms",
    "x-ratelimit-reset-tokens": "0s",
}


@pytest.mark.parametrize(
    ("headers", "rate"),
    [
        (OPENAI, ReportedRate(3000, 1_000_000, 2999, 999_990)),
        # Azure: no count of requests, or one of ten seconds.
        (
            {
                "x-ratelimit-limit-tokens": "120000",
                "x-ratelimit-remaining-tokens": "119000",
                "x-ratelimit-limit-requests": "-1",
                "x-ratelimit-remaining-requests": "-1",
            },
            ReportedRate(tokens=120_000, remaining_tokens=119_000),
        ),
        (
            {"x-ratelimit-limit-requests": "10", "x-ratelimit-renewalperiod-requests": "10"},
            ReportedRate(requests=60),
        ),
        # Cohere's trial keys.
        (
            {"x-trial-endpoint-call-limit": "100", "x-trial-endpoint-call-remaining": "40"},
            ReportedRate(requests=100, remaining_requests=40),
        ),
        # The requests of a day, beside the tokens of a minute.
        (
            {**OPENAI, "x-ratelimit-limit-requests": "200", "x-ratelimit-reset-requests": "7m12s"},
            ReportedRate(tokens=1_000_000, remaining_tokens=999_990),
        ),
        ({"x-ratelimit-limit-requests": "200", "x-ratelimit-reset-requests": "1h0m0.5s"}, None),
        ({}, None),
        ({"content-type": "application/json", "retry-after": "3"}, None),
        *(({"x-ratelimit-limit-requests": value}, None) for value in ("", "many", "-5", "0", "nan", "inf", "1e400")),
    ],
)
def test_headers(headers, rate):
    assert parse_rate(headers) == rate


@pytest.mark.parametrize("reset", ["", "soon", "7m12", "ms", "-1s"])
def test_unknown_time_of_reset_is_taken_for_one_of_a_minute(reset):
    assert parse_rate({**OPENAI, "x-ratelimit-reset-requests": reset}) == ReportedRate(3000, 1_000_000, 2999, 999_990)


def test_answers_and_refusals_carry_them(provider):
    body = json.dumps({"data": [{"embedding": [1.0, 2.0]}]}).encode()
    embedder = OpenAIEmbedder(model="m", dimensions=2, base_url=provider.url, api_key_env=None)
    try:
        provider.answer = lambda request: (200, OPENAI, body)
        assert embedder.embed_documents(["a"]).rate == ReportedRate(3000, 1_000_000, 2999, 999_990)
        provider.answer = lambda request: (429, {**OPENAI, "retry-after-ms": "1500"}, b"slow down")
        with pytest.raises(ThrottledEmbeddingError) as caught:
            embedder.embed_documents(["a"])
        assert caught.value.rate == ReportedRate(3000, 1_000_000, 2999, 999_990)
        assert caught.value.retry_after == 1.5
    finally:
        embedder.close()
