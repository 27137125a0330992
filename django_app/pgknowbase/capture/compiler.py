"""Compiled capture triggers as they stand in users' migrations.

The class names and the template of a version are frozen: migrations refer to them. A change is a new version.
"""

from django.db import connections
from pgtrigger import compiler

from pgknowbase.sql_files import read_sql


class CaptureSqlV1(compiler.UpsertTriggerSql):
    """Installation of a capture trigger.

    pgtrigger's own template looks its ignore list up in a subtransaction for each row, runs with the writer's rights
    and search path, and so costs half as much again and fails for a writer that cannot see the outbox.
    """

    def get_template(self) -> str:
        return read_sql("1_trigger/capture_v1.sql")


class CaptureTriggerV1(compiler.Trigger):
    """A compiled capture trigger, which takes its function with it when it goes."""

    @property
    def uninstall_sql(self) -> str:
        return read_sql("1_trigger/capture_drop_v1.sql").format(pgid=self.sql.pgid)


def quote(name: str) -> str:
    """``name`` as a Postgres identifier."""
    quoted: str = connections["default"].ops.quote_name(name)
    return quoted
