"""Points in time under both values of ``USE_TZ``: without it, those of Django are naive and in ``TIME_ZONE``."""

from datetime import datetime
from typing import Annotated

from django.utils import timezone
from pydantic import AfterValidator


def aware(moment: datetime) -> datetime:
    """``moment`` with a zone. A naive one is in ``TIME_ZONE``, as Django reads it.

    >>> aware(timezone.now()).utcoffset() is None
    False

    Raises:
        OverflowError: a naive moment before or after all dates.
    """
    return moment if timezone.is_aware(moment) else timezone.make_aware(moment, timezone.get_default_timezone())


def local(moment: datetime) -> datetime:
    """``moment`` in the current time zone. A naive one is in it already."""
    return timezone.localtime(moment) if timezone.is_aware(moment) else moment


def midnight() -> datetime:
    """The last midnight in the current time zone, as the fields of models take it: naive without ``USE_TZ``."""
    return local(timezone.now()).replace(hour=0, minute=0, second=0, microsecond=0)


# A field of an answer: JSON's date-time has a zone.
Instant = Annotated[datetime, AfterValidator(aware)]
