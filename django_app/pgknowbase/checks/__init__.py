"""System checks. Importing this package registers them."""

from pgknowbase.checks import database, models, settings

__all__ = ["database", "models", "settings"]
