from django.db import models
from django.db.models.functions import Now


class RenderCost(models.Model):
    """What rendering the rows of one source model costs; figures of long ago fade."""

    source = models.TextField(primary_key=True, help_text="Label of the source model, such as 'blog.Article'.")
    rows = models.BigIntegerField()
    seconds = models.FloatField()
    statements = models.BigIntegerField()
    slowest_hook = models.TextField()
    slowest_share = models.FloatField(help_text="Share of the time that the slowest hook took, 0 to 1.")
    querying_hook = models.TextField(blank=True, help_text="Hook that runs statements for each row; '' if none does.")
    querying_statements = models.FloatField(help_text="Statements of that hook per row.")
    updated_at = models.DateTimeField(db_default=Now())

    class Meta:
        db_table = "pgknowbase_render"
        verbose_name = "rendering cost"

    def __str__(self) -> str:
        return self.source
