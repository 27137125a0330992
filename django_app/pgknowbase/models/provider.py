"""What the workers know of the providers of embeddings: outages, how models are told apart, kept vectors."""

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Now


class ProviderOutage(models.Model):
    """A provider that refuses every text, or does not answer, since when and in its own words.

    The row goes with the first text that is embedded again. ``is_throttled``: it has asked for the pause, and all
    workers keep it; else each worker tries by itself.
    """

    id = models.BigAutoField(primary_key=True)
    provider = models.TextField(help_text="Host of the server, or class of the embedder.")
    model = models.TextField()
    error = models.TextField()
    failures = models.PositiveIntegerField(db_default=1, help_text="Batches that failed since it began.")
    failing_since = models.DateTimeField(db_default=Now())
    failed_at = models.DateTimeField(db_default=Now())
    paused_until = models.DateTimeField(help_text="When it is asked again.")
    is_throttled = models.BooleanField()
    executor = models.UUIDField(help_text="The executor that was told last.")

    class Meta:
        db_table = "pgknowbase_provider_outage"
        ordering = ["failing_since"]
        constraints = [models.UniqueConstraint(fields=["provider", "model"], name="pgknowbase_provider_outage_key")]

    def __str__(self) -> str:
        return f"{self.model} at {self.provider}"


class ProviderRate(models.Model):
    """What all workers together may still send to a model of a provider: buckets that fill as the minute goes by.

    Attributes:
        requests_per_minute, tokens_per_minute: as the provider's headers said last; None where they never did. The
            settings come first, and are not kept here.
        requests, texts, tokens: what was left at ``filled_at``; below 0 where more was used than was counted on, None
            where nothing limits them.
    """

    id = models.BigAutoField(primary_key=True)
    provider = models.TextField()
    model = models.TextField()
    requests_per_minute = models.FloatField(null=True)
    tokens_per_minute = models.FloatField(null=True)
    requests = models.FloatField(null=True)
    texts = models.FloatField(null=True)
    tokens = models.FloatField(null=True)
    filled_at = models.DateTimeField(db_default=Now())

    class Meta:
        db_table = "pgknowbase_provider_rate"
        constraints = [models.UniqueConstraint(fields=["provider", "model"], name="pgknowbase_provider_rate_key")]

    def __str__(self) -> str:
        return f"{self.model} at {self.provider}"


class TextsInFlight(models.Model):
    """The texts that one executor has with a provider at this moment, as 8 bytes of the hash of each.

    ``worker``: the heartbeat with whose end the entry ends; null where nobody would notice.
    """

    executor = models.UUIDField(primary_key=True)
    worker = models.UUIDField(null=True)
    keys = ArrayField(models.BigIntegerField())
    expires_at = models.DateTimeField()

    class Meta:
        db_table = "pgknowbase_in_flight"

    def __str__(self) -> str:
        return str(self.executor)


class ModelProbe(models.Model):
    """What the model of an embedding space answered to a fixed text at first, which tells it from another one.

    Attributes:
        space_id: of the ``EmbeddingSpace``, whose table Django does not manage. The row outlives the space, since
            vectors of a dropped one are taken again where the same model answers.
        vector: the components as 4-byte floats.
        similarity: of the answer of another model, which has come since ``changed_at``; None where none has.
    """

    space_id = models.BigIntegerField(primary_key=True)
    vector = models.BinaryField()
    recorded_at = models.DateTimeField(db_default=Now())
    changed_at = models.DateTimeField(null=True)
    similarity = models.FloatField(null=True)

    class Meta:
        db_table = "pgknowbase_model_probe"

    def __str__(self) -> str:
        return f"model of space {self.space_id}"


class KeptVector(models.Model):
    """A vector that was paid for, and whose document could not be written yet.

    Attributes:
        key: the sha256 of mode, of the fingerprint of the embedder (class, model, dimensions, options) and of its model
            (what it answered to a fixed text at first), and of the text as it is sent.
        vector: the components as 4-byte floats.
    """

    id = models.BigAutoField(primary_key=True)
    key = models.BinaryField(unique=True)
    model = models.TextField()
    vector = models.BinaryField()
    tokens = models.IntegerField(null=True)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        db_table = "pgknowbase_kept_vector"

    def __str__(self) -> str:
        return bytes(self.key).hex()
