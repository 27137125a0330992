"""Apps without migrations, as ``MIGRATION_MODULES = {"app": None}`` makes them in tests: their capture triggers.

``migrate`` makes the tables of such apps before all others, so before the functions and the related tables that the
triggers need. They are installed when it ends.
"""

from typing import Any

from django.db import router
from django.db.migrations.loader import MigrationLoader
from pgtrigger.core import INSTALLED

from pgknowbase.capture.triggers import registered_captures
from pgknowbase.conf import get_settings
from pgknowbase.core import gateway
from pgknowbase.core.routing import is_same_database


def install_triggers(using: str, **kwargs: Any) -> None:
    """After migrate: install the triggers that models of such apps declare."""
    captures = [
        (model, trigger)
        for model, trigger in registered_captures()
        if MigrationLoader.migrations_module(model._meta.app_label)[0] is None
    ]
    if not captures or not is_same_database(using, get_settings().database):
        return
    if not gateway.fetch_value(using, "is_installed"):
        return
    for model, trigger in captures:
        is_here = router.allow_migrate(using, model._meta.app_label, model_name=model._meta.model_name)
        if is_here and trigger.get_installation_status(model, database=using)[0] != INSTALLED:
            trigger.install(model, database=using)
