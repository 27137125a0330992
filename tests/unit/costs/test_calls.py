from decimal import Decimal

import pytest
from django.conf import settings
from django.test import override_settings

from pgknowbase.checks import check_settings
from pgknowbase.conf import get_settings
from pgknowbase.costs.calls import Call, apportion
from pgknowbase.costs.prices import embedding_price
from pgknowbase.errors import ConfigurationError


@pytest.mark.parametrize("weights", [[1], [1, 1, 1], [5, 0, 3], [0, 0], [7, 11, 13, 17]])
@pytest.mark.parametrize("total", [0, 1, 10, 999_983])
def test_shares_are_exactly_the_whole(total, weights):
    shares = apportion(total, weights)
    assert sum(shares) == total
    assert min(shares) >= 0


def test_share_is_by_weight():
    assert apportion(100, [1, 3]) == [25, 75]


@pytest.mark.parametrize(
    ("call", "billed", "estimated"),
    [
        (Call(["a" * 40], total_tokens=9), 9, 0),
        (Call(["a" * 40], tokens=[8]), 8, 0),
        (Call(["a" * 40], tokens=[8], total_tokens=9), 9, 0),  # what is billed, not what a tokenizer counts
        (Call(["a" * 40]), 10, 10),
        (Call(["a" * 40], total_tokens=1_000_000), 10, 10),
        (Call(["a" * 4, "b" * 4], total_tokens=1), 2, 2),
        (Call(["a" * 4000], total_tokens=3), 1000, 1000),
        (Call(["a" * 40], failed=True), 0, 0),
        (Call(["a" * 40], total_tokens=9, failed=True), 9, 0),
    ],
)
def test_what_a_call_counts_for(call, billed, estimated):
    assert (call.billed_tokens, call.estimated_tokens) == (billed, estimated)


def prices(value):
    return override_settings(
        PGKNOWBASE={"EMBEDDINGS": {"default": {"BACKEND": "b", "MODEL": "m", "DIMENSIONS": 1}}, "COSTS": value}
    )


@pytest.mark.parametrize(
    ("model", "provider", "price"),
    [
        ("own", "127.0.0.1", "1.5"),
        ("text-embedding-3-small", "api.openai.com", "0.02"),
        ("openai:text-embedding-3-small", "", "0"),  # not yet connected: see the next one
        ("openai:text-embedding-3-small", "api.openai.com", "0.02"),
        ("text-embedding-3-small", "127.0.0.1", None),
        ("no-such-model", "api.openai.com", None),
        ("minilm", "", "0"),
    ],
)
def test_price_of_a_million_tokens(model, provider, price):
    with prices({"PRICES": {"own": "1.5"}}):
        found = embedding_price(model, provider)
    assert found is None if price is None else found * 1_000_000 == Decimal(price)


@pytest.mark.parametrize("price", [-1, "-0.02", "much", None, float("nan"), {"INPUT": -1}, {}, {"OUTPUT": 1}])
def test_wrong_price_is_refused(price):
    with prices({"PRICES": {"m": price}}), pytest.raises(ConfigurationError, match=r"COSTS\.PRICES\.m"):
        get_settings()


@pytest.mark.parametrize(("path", "told"), [("no.such.hook", "cannot be imported"), ("os.sep", "is not a function")])
def test_tenant_that_is_not_a_function(path, told):
    with override_settings(PGKNOWBASE={**settings.PGKNOWBASE, "COSTS": {"TENANT": path}}):
        (error,) = check_settings()
    assert error.id == "pgknowbase.E007"
    assert told in error.msg


@pytest.mark.parametrize(("prices", "found"), [({}, ["pgknowbase.E008"]), ({"far": 1}, [])])
def test_cap_in_money_needs_a_price(prices, found):
    embedding = {
        "BACKEND": "pgknowbase.embeddings.OpenAIEmbedder",
        "MODEL": "far",
        "DIMENSIONS": 8,
        "OPTIONS": {"BASE_URL": "http://127.0.0.1:1/v1", "API_KEY_ENV": None},
    }
    costs = {"PRICES": prices, "CAPS": [{"PER": "day", "COST": 1}]}
    with override_settings(PGKNOWBASE={"EMBEDDINGS": {"default": embedding}, "COSTS": costs}):
        assert [error.id for error in check_settings()] == found
