"""Every statement that Python runs: the files they stand in, and each place that names one of them."""

import ast
from pathlib import Path

import pytest

import pgknowbase
from pgknowbase.core.queries import Query, all_queries, find_query

ROOT = Path(__file__).resolve().parents[3]
PACKAGE = Path(pgknowbase.__file__).parent
CALLERS = [path for folder in (PACKAGE, ROOT / "tests", ROOT / "benchmarks") for path in sorted(folder.rglob("*.py"))]
FETCHERS = {"fetch", "fetch_large", "fetch_value", "fetch_dicts", "fetch_hits", "execute"}
# Parameters of the gateway's own.
GATEWAY = {"fetch_hits": {"row"}}
# The one place where a query's name is a variable: the same measurement runs two of them.
VARIABLE = {PACKAGE / "operations" / "recall.py"}


def calls(path):
    """(function of the gateway, name of the query as an expression, keywords) of each call."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call):
            continue
        function, arguments = node.func, node.args
        if isinstance(function, ast.Name) and function.id == "partial" and arguments:
            function, *arguments = arguments
        if (
            isinstance(function, ast.Attribute)
            and ast.unparse(function.value) == "gateway"
            and function.attr in FETCHERS
        ):
            yield function.attr, arguments, node.keywords


def wrong_calls(path):
    """What is wrong with the calls of a file."""
    for function, arguments, keywords in calls(path):
        named = arguments[1]
        if not isinstance(named, ast.Constant):
            if path not in VARIABLE:
                yield f"{ast.unparse(named)}: name the query"
            continue
        query = all_queries().get(named.value)
        given = {keyword.arg for keyword in keywords if keyword.arg} - GATEWAY.get(function, set())
        unpacked = any(keyword.arg is None for keyword in keywords)
        if query is None:
            yield f"{named.value}: no such query"
        elif len(arguments) > 2:
            yield f"{named.value}: name its parameters"
        elif not given <= set(query.names) or (not unpacked and given != set(query.names)):
            yield f"{named.value}: {sorted(given)} are not {sorted(set(query.names))}"


def test_calls_name_a_query_and_its_parameters():
    assert [(path.name, wrong) for path in CALLERS for wrong in wrong_calls(path)] == []


def test_wrong_calls_are_noticed(tmp_path):
    path = tmp_path / "wrong.py"
    path.write_text(
        "gateway.fetch(using, 'outbox_clam', labels=[])\n"
        "gateway.fetch(using, 'outbox_ack', id=[1])\n"
        "gateway.fetch(using, 'outbox_ack', [1])\n"
        "partial(gateway.fetch, using, 'outbox_ack')\n"
        "gateway.fetch_hits(using, 'space_drop', row=None, space=1)\n"
        "gateway.fetch_value(using, name)\n"
    )
    assert [said.partition(":")[0] for said in wrong_calls(path)] == [
        "outbox_clam", "outbox_ack", "outbox_ack", "outbox_ack", "name",
    ]  # fmt: skip


def test_each_query_is_used():
    used = {
        node.value
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant)
    }
    assert sorted(all_queries().keys() - used) == []


def test_parameters_become_positional():
    query = Query.parse(
        "name", "-- Why: 100 % sure of %(nothing)s.\nSELECT %(b)s, %(a)s, %(b)s, '10 %%'\n\n\n-- relay ---\n"
    )
    assert query == Query("name", "SELECT %s, %s, %s, '10 %%'", ("b", "a", "b"))
    assert query.positional({"a": 1, "b": 2}) == (2, 1, 2)


@pytest.mark.parametrize("params", [{"a": 1}, {"a": 1, "b": 2, "c": 3}, {"a": 1, "B": 2}])
def test_other_parameters_are_refused(params):
    with pytest.raises(TypeError, match=r"Query 'name' takes the parameters \['a', 'b'\], and got"):
        Query.parse("name", "SELECT %(a)s, %(b)s").positional(params)


def test_an_unknown_query_is_refused():
    with pytest.raises(LookupError, match=r"There is no query 'outbox_clam': write it into a queries.sql"):
        find_query("outbox_clam")
