"""Released SQL never changes: migrations of users have run it.

``python -m tests.sql.released`` (``make release-sql``) freezes the files of a release by adding their sha256 to
released.json; it refuses to when one that is frozen has changed.
"""

import hashlib
import json
import sys
from pathlib import Path

from tests.sql.rendering import SQL, sql_files

LIST = Path(__file__).with_name("released.json")


def digest(path):
    return hashlib.sha256((SQL / path).read_bytes()).hexdigest()


def released():
    return json.loads(LIST.read_text(encoding="utf-8"))


def changed():
    """Frozen files that are gone or have other contents."""
    return [path for path, sha in released().items() if not (SQL / path).is_file() or digest(path) != sha]


if __name__ == "__main__":
    if wrong := changed():
        sys.exit(f"Changed since their release: {', '.join(wrong)}. Write a new file (_v2) in their place.")
    LIST.write_text(json.dumps({path: digest(path) for path in sql_files()}, indent=2) + "\n", encoding="utf-8")
