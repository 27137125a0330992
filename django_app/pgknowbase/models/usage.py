"""The ledger: what embeddings, agents and chats have used at their providers."""

from django.db import models

from pgknowbase.costs.calls import UsageKind


class UsageFigures(models.Model):
    """Who used what, and how much. Sums; names that do not apply are ''.

    Attributes:
        provider: host of the server; '' for a model that runs in the worker.
        space: name of the embedding space. ``source``: label of the source model.
        tenant: the owner of the text or the user who asked, unless ``COSTS["TENANT"]`` says otherwise.
        texts: that were sent. ``reused``: those that needed no call, because their vectors were there.
        tokens: of all input, as the provider says. ``estimated_tokens``: the part of them that is our estimate, because
            the provider said nothing, or what cannot be; ``doubtful_calls`` counts the latter.
        retried_calls: that sent a text which an earlier call had sent in vain.
        cost: US dollars for what has a price; null where nothing has. ``unpriced_tokens``: those without one.
        seconds: spent waiting for the calls, added up over concurrent ones.
    """

    id = models.BigAutoField(primary_key=True)
    day = models.DateField()
    kind = models.TextField(choices=UsageKind.choices)
    provider = models.TextField()
    model = models.TextField()
    space = models.TextField()
    source = models.TextField()
    tenant = models.TextField()
    texts = models.BigIntegerField()
    reused = models.BigIntegerField()
    characters = models.BigIntegerField()
    tokens = models.BigIntegerField()
    estimated_tokens = models.BigIntegerField()
    output_tokens = models.BigIntegerField()
    unpriced_tokens = models.BigIntegerField()
    calls = models.BigIntegerField()
    failed_calls = models.BigIntegerField()
    retried_calls = models.BigIntegerField()
    doubtful_calls = models.BigIntegerField()
    seconds = models.FloatField()
    cost = models.DecimalField(max_digits=24, decimal_places=12, null=True)

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return f"{self.day} {self.kind} {self.model}"


class UsageEntry(UsageFigures):
    """One batch, query or run, as it was used. Rows are only inserted, so that nobody waits for another's row."""

    class Meta:
        db_table = "pgknowbase_usage"


class DailyUsage(UsageFigures):
    """The sums of one day, into which a worker folds the entries."""

    class Meta:
        db_table = "pgknowbase_daily_usage"
        constraints = [
            models.UniqueConstraint(
                fields=["day", "kind", "provider", "model", "space", "source", "tenant"],
                name="pgknowbase_daily_usage_key",
            )
        ]
