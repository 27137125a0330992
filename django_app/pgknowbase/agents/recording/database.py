"""Where rows of runs are written, and when they are committed."""

import contextvars
import os
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import Any, TypeVar

from django.apps import apps
from django.db import connections, models, transaction
from django.db.models.signals import post_save, pre_save

from pgknowbase.conf import get_settings
from pgknowbase.errors import ConfigurationError

T = TypeVar("T")


def alias() -> str:
    """The database of the rows.

    Raises:
        ConfigurationError: the app is not installed.
    """
    if not apps.is_installed("pgknowbase.agents"):
        raise ConfigurationError(
            "Runs of agents are recorded, and 'pgknowbase.agents' is not installed: add it to INSTALLED_APPS and run"
            " `manage.py migrate`."
        )
    return get_settings().database


def committed(write: Callable[[], T]) -> T:
    """Do ``write`` so that it is committed when this returns, whatever the caller's transaction comes to.

    Inside a transaction it is done on a connection of its own: a run that was paid for must not vanish in a rollback.
    Not so inside the transaction of a ``TestCase``, which nobody else can see into.
    """
    connection = connections[alias()]
    if connection.in_atomic_block:
        # Django marks the blocks that a TestCase opens; `atomic(durable=True)` reads the same mark.
        tests = any(getattr(block, "_from_testcase", False) for block in connection.atomic_blocks)
    else:
        tests = connection.get_autocommit()
    if tests:
        return write()
    return _elsewhere().submit(contextvars.copy_context().run, _closing, write).result()


def with_receivers(model: type[models.Model]) -> AbstractContextManager[None]:
    """Around one statement: a transaction, if receivers of ``post_save`` may write or raise in it too.

    A statement alone is one by itself, and two round trips cheaper.
    """
    return transaction.atomic(alias()) if post_save.has_listeners(model) else nullcontext()


def saved_while(row: models.Model, fields: Collection[str], **condition: Any) -> bool:
    """As ``row.save(update_fields=fields)`` with its signals, in one statement that asks whether ``condition`` holds.

    False if it does not, or if the row is gone: nothing is written then.
    """
    model, using, names = type(row), alias(), frozenset(fields)
    sent: dict[str, Any] = {"sender": model, "instance": row, "raw": False, "using": using, "update_fields": names}
    with with_receivers(model):
        pre_save.send(**sent)
        values = {name: getattr(row, name) for name in fields}
        if not model._base_manager.using(using).filter(pk=row.pk, **condition).update(**values):
            return False
        post_save.send(created=False, **sent)
        return True


def _closing(write: Callable[[], T]) -> T:
    try:
        return write()
    finally:
        connections.close_all()


@cache
def _elsewhere() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=8, thread_name_prefix="pgknowbase-agents")


os.register_at_fork(after_in_child=_elsewhere.cache_clear)  # threads do not live on in a fork
