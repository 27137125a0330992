"""The statements of each package's ``queries.sql``, by name."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

HEADER = re.compile(r"^-- (\w+) --$", re.MULTILINE)
COMMENT = re.compile(r"^--.*\n?", re.MULTILINE)
PARAMETER = re.compile(r"%\((\w+)\)s")


@dataclass(frozen=True, slots=True)
class Query:
    """One statement.

    Args:
        sql: the statement with positional placeholders. Named ones fail inside ``pgtrigger.ignore()``, which passes
            parameters of its own, and composed SQL fails inside ``pghistory.context()``, which expects a ``str``.
        names: the name of each placeholder, in the order in which they stand in ``sql``.
    """

    name: str
    sql: str
    names: tuple[str, ...]

    @classmethod
    def parse(cls, name: str, text: str) -> "Query":
        """The query that a block of a ``queries.sql`` holds; the server never sees its comments."""
        sql = COMMENT.sub("", text).strip()
        return cls(name, PARAMETER.sub("%s", sql), tuple(PARAMETER.findall(sql)))

    def positional(self, params: Mapping[str, Any]) -> tuple[Any, ...]:
        """``params`` in the order of the placeholders, with lists as ``array_literal`` writes them.

        Raises:
            TypeError: a parameter is missing, or is not one of this query.
        """
        if params.keys() != set(self.names):
            raise TypeError(
                f"Query {self.name!r} takes the parameters {sorted(set(self.names))}, and got {sorted(params)}:"
                " pass those that it names in its queries.sql."
            )
        return tuple(
            array_literal(value) if type(value) is list else value for value in [params[name] for name in self.names]
        )


def array_literal(values: list[Any]) -> Any:
    """A list of texts or of whole numbers as Postgres reads an array; any other list stays one, for psycopg.

    psycopg looks at each element by itself, in Python: for a batch of documents that takes ten times as long. The
    statements cast these parameters, or compare them to a column.

    >>> array_literal([7, 8]), array_literal(["a", 'b"c'])
    ('{7, 8}', '{"a","b\\\\"c"}')
    """
    kinds = set(map(type, values))
    if kinds == {int}:
        return "{" + str(values)[1:-1] + "}"
    if kinds == {str}:
        text = "\0".join(values)
        if text.count("\0") == len(values) - 1:  # else an element holds one, which psycopg refuses
            quoted = text.replace("\\", "\\\\").replace('"', '\\"').replace("\0", '","')
            return '{"' + quoted + '"}'
    return values


@cache
def all_queries() -> Mapping[str, Query]:
    """Every query of the packages, by name."""
    queries: dict[str, Query] = {}
    for package in sorted(files("pgknowbase").iterdir(), key=lambda entry: entry.name):
        if not package.joinpath("queries.sql").is_file():
            continue
        _, *blocks = HEADER.split(package.joinpath("queries.sql").read_text(encoding="utf-8"))
        for name, block in zip(blocks[::2], blocks[1::2], strict=True):
            if name in queries:
                raise ValueError(f"Two queries have the name {name!r}, one in {package.name}: rename one of them.")
            queries[name] = Query.parse(name, block)
    return queries


def find_query(name: str) -> Query:
    """The query of this name.

    Raises:
        LookupError: there is none.
    """
    try:
        return all_queries()[name]
    except KeyError:
        raise LookupError(f"There is no query {name!r}: write it into a queries.sql, or correct the name.") from None
