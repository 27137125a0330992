from django.db import models
from django.db.models.functions import Now


class RecallMeasurement(models.Model):
    """How many of the rows that an exact search finds the vector index found too, measured by ``pgknowbase_recall``."""

    id = models.BigAutoField(primary_key=True)
    measured_at = models.DateTimeField(db_default=Now())
    space = models.TextField(help_text="Name of the embedding space.")
    model = models.TextField(help_text="Label of the source model; '(all)' for all of them.")
    filter = models.TextField(blank=True, help_text="What the rows had to have; '' for nothing.")
    selectivity = models.FloatField(help_text="Share of the model's objects that pass the filter, 0 to 1.")
    passing = models.BigIntegerField(help_text="Objects that pass the filter.")
    queries = models.PositiveIntegerField()
    max_hits = models.PositiveIntegerField(help_text="Rows asked for by each query.")
    ef_search = models.PositiveIntegerField(help_text="hnsw.ef_search of the measured searches.")
    recall = models.FloatField()
    milliseconds = models.FloatField(help_text="Median of a search.")
    exact_milliseconds = models.FloatField(help_text="Median of an exact search.")
    target = models.FloatField()
    needed = models.PositiveIntegerField(null=True, help_text="Smallest hnsw.ef_search that reaches the target.")

    class Meta:
        db_table = "pgknowbase_recall"
        ordering = ["-measured_at", "-id"]
        verbose_name = "recall measurement"

    def __str__(self) -> str:
        return f"{self.model} {self.filter} {self.recall:.4f}"
