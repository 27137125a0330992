"""Failed runs, and retrying them."""

from collections.abc import Collection

from django.db.models import Q, QuerySet

from pgknowbase.core import gateway
from pgknowbase.errors import ConfigurationError
from pgknowbase.models import Delivery, DeliveryState
from pgknowbase.reactions.registry import reactions

FAILED = Q(state=DeliveryState.DEAD) | (Q(state=DeliveryState.PENDING) & ~Q(error=""))
BATCH = 1000


def failed_deliveries(using: str, names: Collection[str] = ()) -> QuerySet[Delivery]:
    """Dead letters and runs that wait for a retry, of all reactions or the named ones; dead letters first.

    Raises:
        ConfigurationError: a name is of no reaction, declared or recorded.
    """
    deliveries = Delivery.objects.using(using)
    for name in names:
        if name not in reactions() and not deliveries.filter(reaction=name).exists():
            known = ", ".join(reactions()) or "none"
            raise ConfigurationError(f"{name!r} is not a reaction: use one of {known}.")
    failed = deliveries.filter(FAILED).order_by("state", "due_at", "pk")
    return failed.filter(reaction__in=names) if names else failed


def retry_deliveries(deliveries: QuerySet[Delivery]) -> int:
    """Make the failed ones due now, with all their attempts; returns how many."""
    pks = list(deliveries.filter(FAILED).values_list("pk", flat=True))
    batches = (pks[start : start + BATCH] for start in range(0, len(pks), BATCH))
    return sum(gateway.fetch_value(deliveries.db, "delivery_retry", deliveries=batch) for batch in batches)
