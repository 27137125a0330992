"""Models that are not source models any more, of which the index or the outbox still holds something.

The migration that removes a model's triggers removes its objects too. What is found here was left by a change that no
migration made: an app that is not installed any more, a model that moved, a mixin taken off before this version.
"""

from dataclasses import dataclass

from pgknowbase.core import gateway
from pgknowbase.core.command_line import command_line
from pgknowbase.relay.writing import remove_keys
from pgknowbase.sources.registry import candidates

BATCH_SIZE = 500
WAITING = (
    "Start a worker of the version that knows it; for a moved model add RenameSource to a migration. If it is gone for"
    " good:"
)


@dataclass(frozen=True, slots=True)
class FormerSource:
    """A label that no source model has, in lower case, and how many objects and events carry it."""

    label: str
    content_type_id: int | None
    objects: int
    events: int
    using: str

    @property
    def advice(self) -> str:
        """What to do, in one line."""
        steps = []
        if self.events:
            steps.append(f"{WAITING} SELECT pgknowbase_source_remove_v1('{self.label}');")
        if self.objects:
            steps.append(f"Remove its objects with {command_line('sync_external_models --repair', self.using)!r}.")
        return " ".join(steps)


def former_sources(using: str) -> list[FormerSource]:
    """Every such label in the database ``using``, in alphabetical order."""
    # Not sources(), which leaves out a model with a mistake in its declaration: its objects must outlive that.
    labels = [model._meta.label_lower for model in candidates()]
    rows = gateway.fetch(using, "former_sources", labels=labels)
    return [FormerSource(label, type_id, objects, events, using) for label, type_id, objects, events in rows]


def remove_objects(former: FormerSource, using: str) -> int:
    """Remove its objects from the index; returns how many.

    Events stay, because a newer version of the project may know the label.
    """
    removed = 0
    while former.content_type_id is not None:
        page = gateway.fetch(using, "known_keys", source=former.content_type_id, after_key=None, max_keys=BATCH_SIZE)
        if not page:
            break
        removed += remove_keys(None, former.content_type_id, [row[0] for row in page], using).removed
    return removed
