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

from pgknowbase.agents.receivers import notify
from pgknowbase.conf import get_settings
from pgknowbase.errors import ConfigurationError

T = TypeVar("T")


def alias() -> str:
    """The database alias of the rows.

    Raises:
        ConfigurationError: the app is not installed.
    """
    if not apps.is_installed("pgknowbase.agents"):
        raise ConfigurationError(
            "Runs of agents are recorded, and 'pgknowbase.agents' is not installed: add it to INSTALLED_APPS and run"
            " `manage.py migrate`."
        )
    return get_settings().database


def write_durably(write: Callable[[], T]) -> T:
    """Call ``write`` so that its rows are committed when this returns, and return its result.

    Inside a transaction of the caller it runs in a thread with a connection of its own: a run that was paid for must
    not vanish in a rollback, and other processes must see that it runs. Inside the transaction of a ``TestCase`` it
    runs on the test's connection, because no other connection could see what the test has written.
    """
    connection = connections[alias()]
    if connection.in_atomic_block:
        # Django marks the blocks that a TestCase opens; `atomic(durable=True)` reads the same mark.
        in_test_case = any(getattr(block, "_from_testcase", False) for block in connection.atomic_blocks)
    else:
        in_test_case = connection.get_autocommit()
    if in_test_case:
        return write()
    return _own_connections().submit(contextvars.copy_context().run, _closing, write).result()


def atomic_for_receivers(model: type[models.Model]) -> AbstractContextManager[None]:
    """A transaction around one statement on ``model``, if receivers of ``post_save`` may write in it too.

    Without receivers the statement is its own transaction, which saves the round trips of BEGIN and COMMIT.
    """
    return transaction.atomic(alias()) if post_save.has_listeners(model) else nullcontext()


def save_if(row: models.Model, fields: Collection[str], **condition: Any) -> bool:
    """Do ``row.save(update_fields=fields)``, with its signals, only while ``condition`` holds in the database.

    The condition is part of the UPDATE, so no other process can change the row between test and write. Returns False,
    and writes nothing, if the condition does not hold or the row is gone.
    """
    model, using, names = type(row), alias(), frozenset(fields)
    sent: dict[str, Any] = {"raw": False, "using": using, "update_fields": names}
    with atomic_for_receivers(model):
        notify(pre_save, row, **sent)
        values = {name: getattr(row, name) for name in fields}
        if not model._base_manager.using(using).filter(pk=row.pk, **condition).update(**values):
            return False
        notify(post_save, row, created=False, **sent)
        return True


def _closing(write: Callable[[], T]) -> T:
    try:
        return write()
    finally:
        connections.close_all()


@cache
def _own_connections() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=8, thread_name_prefix="pgknowbase-agents")


os.register_at_fork(after_in_child=_own_connections.cache_clear)  # a fork has none of the parent's threads
