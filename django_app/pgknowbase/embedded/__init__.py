"""An embedded Postgres for the demo, for tests and for small desktop use; see docs/embedded.md."""

from pgknowbase.embedded.config import database_config, embedded_database
from pgknowbase.embedded.server import EmbeddedPostgres

__all__ = ["EmbeddedPostgres", "database_config", "embedded_database"]
