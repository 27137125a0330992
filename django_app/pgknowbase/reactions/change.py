"""The change that a reaction is called with."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from django.db import models

Op = Literal["insert", "update", "delete"]
OPS: dict[str, Op] = {"I": "insert", "U": "update", "D": "delete"}


@dataclass(frozen=True, kw_only=True)
class Change:
    """One or more committed changes of one row, in the state of the last.

    ``instance``: the row as it was when the run started; None for a delete.
    ``pk``: its primary key; ``object_key`` the same as text.
    ``op``: what happened; an insert with updates after it is an insert.
    ``idempotency_key``: the same each time this change is delivered, and for no other change.
    ``attempt``: 1 for the first attempt.
    ``depth``: how many reactions led to this change; 0 where none did.
    ``changed_at``: when the first of the changes was written.
    """

    reaction: str
    model: type[models.Model]
    pk: Any
    object_key: str
    op: Op
    instance: Any
    idempotency_key: str
    attempt: int
    depth: int
    changed_at: datetime
