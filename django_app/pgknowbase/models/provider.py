"""What the workers know of the providers of embeddings: outages, how models are told apart, kept vectors."""

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
