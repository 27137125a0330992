"""Arrays as literals, which queries get instead of lists."""

import pytest
from django.db import connection

from pgknowbase.core.queries import array_literal

TEXTS = ["", " ", "a", "NULL", "null", "{", "}", ",", '"', '""', "\\", '\\"', "a\\", "it's", "%s", "\n\t", "é数据🚲"]


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("values", "kind"), [(TEXTS, "text"), ([""], "text"), ([], "text"), ([0, -7, 2**62], "bigint"), ([1, None], "int")]
)
def test_postgres_reads_what_the_list_holds(values, kind):
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT %s::{kind}[]", [array_literal(values)])
        assert cursor.fetchone() == (values,)


@pytest.mark.parametrize("values", [["a", None], ["a\0b"], ["a\0", "b"], [True], [1.5], [b"a"], [1, "a"]])
def test_other_lists_are_left_to_psycopg(values):
    assert array_literal(values) is values
