"""What a release promises of its SQL, and what never changes afterwards: users call it, and their migrations ran it.

Of a numbered function that is its signature: name, arguments with their types and defaults, and result. Its body may
change. Of a table, a type, a trigger or a template of triggers it is all of the file but its comments. Helpers and
views are not promised.

``python -m tests.unit.sql.released`` (``make release-sql``) freezes what is new in a release by adding it to
released.json; it refuses to when something frozen has changed.
"""

import json
import re
import sys
from pathlib import Path

from pgknowbase.core.sql_files import REPEATABLE
from tests.unit.sql.rendering import SQL

LIST = Path(__file__).with_name("released.json")
SIGNATURE = re.compile(r"^CREATE OR REPLACE (?:FUNCTION|PROCEDURE) (.*?)\s+LANGUAGE ", re.MULTILINE | re.DOTALL)


def promised():
    """Each name with what is promised of it: a function's by its own name, any other file's by its path."""
    for path in sorted(SQL.rglob("*.sql")):
        code = re.sub(r"--.*", "", path.read_text(encoding="utf-8"))
        created = REPEATABLE.search(code)
        if created is None or created[2] != path.stem:
            yield path.relative_to(SQL).as_posix(), " ".join(code.split())
        elif re.search(r"_v\d+$", created[2]):
            yield created[2], " ".join(SIGNATURE.search(code)[1].split())


def released():
    return json.loads(LIST.read_text(encoding="utf-8"))


def changed():
    """Names of what is frozen and is gone or another by now."""
    now = dict(promised())
    return [name for name, promise in released().items() if now.get(name) != promise]


if __name__ == "__main__":
    if wrong := changed():
        sys.exit(f"Changed since their release: {', '.join(wrong)}. Leave them as they were, and add a new one (_v2).")
    LIST.write_text(json.dumps(dict(promised()), indent=2) + "\n", encoding="utf-8")
