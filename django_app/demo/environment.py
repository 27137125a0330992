"""Settings that come from the environment, and the secret key that the demo stores between runs."""

import os
import secrets
import tempfile
from pathlib import Path
from typing import Any


def flag(name: str) -> bool:
    """Whether the variable ``name`` is set to 1, true, yes or on."""
    return os.environ.get(name, "").lower() in {"1", "true", "yes", "on"}


def comma_separated(name: str) -> list[str]:
    """The comma-separated words of the variable ``name``."""
    return [word.strip() for word in os.environ.get(name, "").split(",") if word.strip()]


def stored_secret(path: Path) -> str:
    """The secret in ``path``, created at random at the first call and readable by its owner only."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, draft = tempfile.mkstemp(dir=path.parent)
        with os.fdopen(handle, "w") as file:
            file.write(secrets.token_urlsafe(50))
        try:
            os.link(draft, path)  # Atomic: of two first runs at once, one secret wins.
        except FileExistsError:
            pass
        finally:
            Path(draft).unlink()
    return path.read_text()


def database(data_dir: Path) -> dict[str, Any]:
    """``DATABASE_URL``; else the embedded Postgres if DEMO_DATABASE=embedded; else libpq's PGHOST and so on.

    Only the embedded one is started, so type checkers and ``--help`` may import the settings freely.
    """
    if os.environ.get("DATABASE_URL") or os.environ.get("DEMO_DATABASE") == "embedded":
        from pgknowbase.embedded import embedded_database

        return embedded_database(data_dir)
    return {"ENGINE": "django.db.backends.postgresql", "NAME": os.environ.get("PGDATABASE", "postgres")}
