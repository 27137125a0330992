"""Filters on metadata: what each operator finds, what is refused, and that no key or value becomes anything else."""

import json
from contextlib import suppress
from datetime import date

import pytest
from django.db import connection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pgknowbase.errors import SearchError
from pgknowbase.search.filters import compile_metadata

ROWS = {
    "old": {"year": 1999, "kind": "a", "topics": ["x", "y"], "lang": "en", "at": "1999-05-01", "deep": {"a": {"b": 1}}},
    "mid": {"year": 2020, "kind": "b", "topics": ["y"], "lang": "de", "at": "2020-01-01", "draft": None},
    "new": {"year": 2024.5, "kind": "a", "topics": [], "lang": "fr", "at": "2024-02-03", "draft": True},
    "odd": {"year": "2021", "kind": ["a"], "topics": "x", "lang": 1, "at": [2020]},
    "none": {},
}


def found(metadata, rows=ROWS):
    """The names of the rows that pass, by the predicate of the searches itself."""
    wanted = compile_metadata(metadata)
    sql = """SELECT r.key FROM jsonb_each(%s) AS r
        CROSS JOIN LATERAL jsonb_populate_record(
            NULL::pgknowbase_externaldata, jsonb_build_object('is_active', true, 'metadata', r.value)) AS e
        WHERE pgknowbase_matches_filter(
            e, pgknowbase_filter_v1(metadata => %s::jsonb, matching => %s::jsonpath))"""
    with connection.cursor() as cursor:
        cursor.execute(sql, [json.dumps(rows), wanted.contained, wanted.matching])
        return {name for (name,) in cursor.fetchall()}


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("metadata", "names"),
    [
        (None, "old mid new odd none"),
        ({}, "old mid new odd none"),
        ({"year": 1999}, "old"),
        ({"year": 1999.0}, "old"),
        ({"year": "1999"}, ""),
        ({"kind": "a"}, "old new"),
        ({"kind": {"eq": "a"}, "lang": "fr"}, "new"),
        ({"draft": None}, "mid"),
        ({"draft": True}, "new"),
        ({"year": {"gte": 2020}}, "mid new"),
        ({"year": {"gt": 2020}}, "new"),
        ({"year": {"gte": 1999, "lt": 2020}}, "old"),
        ({"year": {"lte": 2024.5, "gt": -5}}, "old mid new"),
        ({"year": {"gte": "2000"}}, "odd"),
        ({"at": {"gte": "2020-01-01", "lt": "2021-01-01"}}, "mid"),
        ({"lang": {"in": ["en", "de"]}}, "old mid"),
        ({"lang": {"in": [1, None]}}, "odd"),
        ({"lang": {"in": []}}, ""),
        ({"lang": {"in": {"en", "fr"}}, "kind": "a", "year": {"gt": 2000}}, "new"),
        ({"topics": {"contains": ["x"]}}, "old"),
        ({"topics": {"contains": "y"}}, "old mid"),
        ({"topics": {"contains": ["y", "x"]}}, "old"),
        ({"topics": {"contains": []}}, "old mid new"),
        ({"deep": {"contains": {"a": {"b": 1}}}}, "old"),
        ({"deep": {"contains": {"a": {}}}}, "old"),
        ({"nothing": 1}, ""),
        ({"nothing": {"lt": 5}}, ""),
    ],
)
def test_operators(metadata, names):
    assert found(metadata) == set(names.split())


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ([("a", 1)], r"\[\('a', 1\)\] is not a dict"),
        ("x" * 1_000_000, "is not a dict"),
        ({1: 2}, "key 1, which is not text"),
        ({"a\x00": 1}, "NUL or a lone surrogate"),
        ({"a": "\ud800"}, "value of 'a'.* NUL or a lone surrogate"),
        ({"a": {"like": 1}}, "unknown operator 'like', use one of eq, contains, gt, gte, lt, lte, in"),
        ({"a": {"b": {"c": 1}}}, "unknown operator 'b'"),
        ({"a": {1: 1}}, "unknown operator 1"),
        ({"a": {}}, "no operator"),
        ({"a": {"eq": 1, "contains": 1}}, "both eq and contains"),
        ({"a": [1]}, "eq takes a text.*not 'list': use contains"),
        ({"a": {"gt": None}}, "gt takes a number or a text, not None"),
        ({"a": {"gt": True}}, "gt takes a number or a text, not True"),
        ({"a": {"gt": [1]}}, "gt takes"),
        ({"a": {"lt": float("nan")}}, "finite numbers"),
        ({"a": float("inf")}, "finite numbers"),
        ({"a": 10**5000}, "finite numbers"),
        ({"a": date(2020, 1, 1)}, r"isoformat\(\) for dates"),
        ({"a": {"in": "abc"}}, "in takes a list of values, not 'str'"),
        ({"a": {"in": [[1]]}}, "in takes"),
        ({"a": {"in": list(range(501))}}, "more than 500 keys and values"),
        ({f"k{n}": n for n in range(501)}, "more than 500 keys and values"),
        ({"k" * 1_000_000: {"like": 1}}, "more than 20000 characters"),
        ({"a": {"contains": object()}}, "contains takes a value, a list or a dict"),
        ({"a": {"contains": [object()]}}, "contains takes"),
        ({"a": {"contains": {"b\x00": 1}}}, "NUL"),
        ({"a": {"contains": [float("nan")]}}, "finite numbers"),
    ],
)
def test_refused(metadata, message):
    with pytest.raises(SearchError, match=message) as raised:
        compile_metadata(metadata)
    assert len(str(raised.value)) < 400


def test_bottomless_containment_is_refused():
    value = []
    for _ in range(5_000):
        value = [value]
    with pytest.raises(SearchError, match="more than 20 deep"):
        compile_metadata({"a": {"contains": value}})


TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=30) | st.sampled_from(
    [
        "'",
        '"',
        "\\",
        '" || 1==1 || $."',
        "$.a",
        "*",
        "@",
        "'; DROP TABLE x; --",
        "%s",
        "%(a)s",
        "\\u0000",
        "a.b",
        "\u2028",
        "",
    ]
)
NUMBERS = st.integers(-(10**30), 10**30) | st.floats(
    allow_nan=False, allow_infinity=False, max_value=1e300, min_value=-1e300
)
SCALARS = TEXTS | NUMBERS | st.booleans() | st.none()
FUZZ = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.mark.django_db
@FUZZ
@given(key=TEXTS, value=SCALARS, other=SCALARS)
def test_any_key_and_value_is_found_as_it_is_and_finds_nothing_else(key, value, other):
    rows = {"it": {key: value}, "other key": {f"{key}_": value}, "none": {}, "list": {key: [value]}}
    for metadata in ({key: value}, {key: {"in": [other, value]}}):
        assert found(metadata, rows) == {"it"}
    assert found({key: {"contains": [value]}}, rows) == {"list"}
    assert found({key: {"in": []}}, rows) == set()


@pytest.mark.django_db
@FUZZ
@given(key=TEXTS, value=TEXTS | NUMBERS, bound=TEXTS | NUMBERS)
def test_comparisons_agree_with_python(key, value, bound):
    rows = {"it": {key: value}}
    comparable = isinstance(value, str) == isinstance(bound, str)
    for operator, holds in (("gt", "__gt__"), ("gte", "__ge__"), ("lt", "__lt__"), ("lte", "__le__")):
        expected = comparable and getattr(value, holds)(bound)
        if expected is NotImplemented:
            expected = {"gt": value > bound, "gte": value >= bound, "lt": value < bound, "lte": value <= bound}[
                operator
            ]
        assert (found({key: {operator: bound}}, rows) == {"it"}) is expected


OPERATORS = st.sampled_from(["eq", "in", "contains", "gt", "like"])
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6) | st.integers(), inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.django_db
@FUZZ
@given(metadata=st.dictionaries(TEXTS, st.dictionaries(OPERATORS, ANYTHING, max_size=2), max_size=2))
def test_anything_else_is_refused_or_searched(metadata):
    with suppress(SearchError):
        found(metadata)
