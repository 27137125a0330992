"""System checks. Importing this package registers them."""

from pgknowbase.checks import database, models, reactions, settings

__all__ = ["database", "models", "reactions", "settings"]
