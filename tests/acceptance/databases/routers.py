"""Routers as projects write them."""

from pgknowbase.conf import get_settings


class Everything:
    """All models live in the database ``kb``: what a project without a default database needs."""

    def db_for_read(self, model, **hints):
        return "kb"

    db_for_write = db_for_read

    def allow_relation(self, one, other, **hints):
        return True

    def allow_migrate(self, db, app_label, **hints):
        return db == "kb"


class Lagging:
    """Writes go to ``kb``, and reads to a copy of it that is behind: the router of Django's documentation."""

    def db_for_read(self, model, **hints):
        return "lagging"

    def db_for_write(self, model, **hints):
        return "kb"

    def allow_relation(self, one, other, **hints):
        return True


class Tenants:
    """The router of docs/tenants.md."""

    def db_for_read(self, model, instance=None, **hints):
        return getattr(getattr(instance, "_state", None), "db", None) or get_settings().database

    db_for_write = db_for_read

    def allow_relation(self, one, other, **hints):
        return one._state.db == other._state.db
