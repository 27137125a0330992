"""Where rows of runs are written, and when they are committed."""

import contextvars
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TypeVar

from django.apps import apps
from django.db import connections

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


def _closing(write: Callable[[], T]) -> T:
    try:
        return write()
    finally:
        connections.close_all()


@cache
def _elsewhere() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=8, thread_name_prefix="pgknowbase-agents")


os.register_at_fork(after_in_child=_elsewhere.cache_clear)  # threads do not live on in a fork
