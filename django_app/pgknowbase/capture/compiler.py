"""Compiled capture triggers as they stand in users' migrations.

The class names and the template of a version are frozen: migrations refer to them. A change is a new version.
"""

from pgtrigger import compiler

from pgknowbase.core.sql_files import read_sql


class CaptureSqlV1(compiler.UpsertTriggerSql):
    """Installation of a capture trigger.

    pgtrigger's own template looks its ignore list up in a subtransaction for each row, runs with the writer's rights
    and search path, and so costs half as much again and fails for a writer that cannot see the outbox.
    """

    def get_template(self) -> str:
        return read_sql("10_capture/capture_v1.sql")


class CaptureTriggerV1(compiler.Trigger):
    """A compiled capture trigger, whose function is dropped with it."""

    @property
    def uninstall_sql(self) -> str:
        return read_sql("10_capture/capture_drop_v1.sql").format(pgid=self.sql.pgid)
