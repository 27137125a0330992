"""The files of ``pgknowbase.sql``: their text, and the order in which functions and views are created."""

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from graphlib import CycleError, TopologicalSorter
from importlib.resources import files
from pathlib import Path

from django.apps import apps

REPEATABLE = re.compile(r"^CREATE OR REPLACE (FUNCTION|PROCEDURE|VIEW) (pgknowbase_\w+)", re.MULTILINE)
REQUIRES = re.compile(r"^-- requires: (.+)$", re.MULTILINE)
# Folders whose objects stand on the tables of another app. All others are the app pgknowbase's.
FOLDERS_OF_APPS = {"95_api": "pgknowbase_api"}


@cache
def read_sql(path: str) -> str:
    """The text of one SQL file, such as ``'20_relay/pgknowbase_outbox_claim_v1.sql'``."""
    return files("pgknowbase.sql").joinpath(path).read_text(encoding="utf-8")


@dataclass(frozen=True, slots=True)
class RepeatableFile:
    """A file that creates one function or view, and can be run any number of times.

    Args:
        path: relative to the folder ``sql``; the file's name is that of the object.
        kind: ``FUNCTION``, ``PROCEDURE`` or ``VIEW``.
        requires: the names on its ``-- requires:`` lines: what must be there when it runs, because Postgres looks at
            the body of a view or a SQL function as it creates it. Functions, views, and tables of later migrations.
    """

    path: str
    kind: str
    text: str = field(repr=False)
    requires: tuple[str, ...]

    @property
    def name(self) -> str:
        return Path(self.path).stem

    @property
    def app(self) -> str:
        """Label of the app whose migrations create the tables that the object stands on."""
        return FOLDERS_OF_APPS.get(self.path.partition("/")[0], "pgknowbase")

    @property
    def digest(self) -> str:
        """A sha256 of the text: another digest means that the object in the database is out of date."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    @property
    def is_pinned(self) -> bool:
        """Whether it is a function that keeps a search path of its own; others are inlined."""
        return "SET search_path FROM CURRENT" in self.text

    @property
    def is_contract(self) -> bool:
        """Whether client code calls it, by a numbered name: then its signature never changes."""
        return re.search(r"_v\d+$", self.name) is not None


def read_repeatable_files(directory: str | None = None) -> dict[str, RepeatableFile]:
    """All functions and views by name, each after those that it requires.

    Args:
        directory: another folder than that of the installed package.

    Raises:
        ValueError: a file requires a name that nothing creates, or files require each other in a circle.
    """
    root = Path(directory or str(files("pgknowbase.sql")))
    found: dict[str, RepeatableFile] = {}
    tables = {model._meta.db_table for model in apps.get_models()}
    for path in sorted(root.glob("*/*.sql")):
        text = path.read_text(encoding="utf-8")
        created = REPEATABLE.search(text)
        if created and created[2] == path.stem:
            requires = tuple(name.strip() for line in REQUIRES.findall(text) for name in line.split(","))
            found[path.stem] = RepeatableFile(path.relative_to(root).as_posix(), created[1], text, requires)
        else:
            tables.add(path.stem)
    for file in found.values():
        for name in file.requires:
            if name not in found and name not in tables:
                raise ValueError(
                    f"sql/{file.path} requires {name!r}, which no file and no model creates: correct its line"
                    " '-- requires:'."
                )
    return {name: found[name] for name in _in_order(found)}


def _in_order(found: Mapping[str, RepeatableFile]) -> Iterable[str]:
    edges = {name: [other for other in file.requires if other in found] for name, file in found.items()}
    try:
        return list(TopologicalSorter(edges).static_order())
    except CycleError as error:
        circle = " -> ".join(f"sql/{found[name].path}" for name in error.args[1])
        raise ValueError(f"These SQL files require each other in a circle: {circle}. Remove one requirement.") from None
