"""Measurements: the recall of searches, and what rendering costs."""

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Now


class RecallMeasurement(models.Model):
    """The recall of the vector index for one search case, as ``pgknowbase_tune recall`` measured it."""

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
        db_table = "pgknowbase_recall_measurement"
        ordering = ["-measured_at", "-id"]
        verbose_name = "recall measurement"

    def __str__(self) -> str:
        return f"{self.model} {self.filter} {self.recall:.4f}"


class RenderCost(models.Model):
    """What rendering the rows of one source model costs. Earlier figures lose weight with time."""

    source = models.TextField(primary_key=True, help_text="Label of the source model, such as 'blog.Article'.")
    rows = models.BigIntegerField()
    seconds = models.FloatField()
    statements = models.BigIntegerField()
    slowest_hook = models.TextField()
    slowest_share = models.FloatField(help_text="Share of the time that the slowest hook took, 0 to 1.")
    querying_hook = models.TextField(blank=True, help_text="Hook that runs statements for each row; '' if none does.")
    querying_statements = models.FloatField(help_text="Statements of that hook per row.")
    updated_at = models.DateTimeField(db_default=Now())
    unwatched = ArrayField(
        models.TextField(),
        db_default=[],
        help_text="What hooks read though no path watches it, such as 'get_external_tags: blog.Category.name'.",
    )

    class Meta:
        db_table = "pgknowbase_render"
        verbose_name = "rendering cost"

    def __str__(self) -> str:
        return self.source
