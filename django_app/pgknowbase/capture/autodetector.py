"""``makemigrations`` must let a capture trigger depend on the outbox it writes to."""

from collections.abc import Iterable
from typing import Any

from django.core.management.commands import makemigrations, migrate
from django.db.migrations.autodetector import OperationDependency
from pgtrigger.migrations import AddTrigger

from pgknowbase.capture.compiler import CaptureTriggerV1


class CaptureAutodetectorMixin:
    """Adds to each capture trigger's operation a dependency on pgknowbase's migrations."""

    def add_operation(
        self,
        app_label: str,
        operation: Any,
        dependencies: Iterable[Any] | None = None,
        beginning: bool = False,
    ) -> None:
        if isinstance(operation, AddTrigger) and isinstance(operation.trigger, CaptureTriggerV1):
            outbox = OperationDependency("pgknowbase", "outboxevent", None, OperationDependency.Type.CREATE)
            dependencies = [*(dependencies or []), outbox]
        super().add_operation(app_label, operation, dependencies, beginning)  # type: ignore[misc]


def install() -> None:
    """Wrap the autodetector that ``makemigrations`` and ``migrate`` share, whoever wrapped it before."""
    current: Any = makemigrations.Command.autodetector
    if not issubclass(current, CaptureAutodetectorMixin):
        current = type("MigrationAutodetector", (CaptureAutodetectorMixin, current), {})
    for module in (makemigrations, migrate):
        module.Command.autodetector = current
        vars(module)["MigrationAutodetector"] = current
