from django.db import models
from django.db.models.functions import Now


class EmbeddingSpace(models.Model):
    """One (backend, model, dimensions, chunking) and its pgai vectorizer and chunk store. Search reads the active one.

    The table stands in ``sql/``: a space belongs to the schema, so Django's ``flush`` must not empty it.
    """

    id = models.BigAutoField(primary_key=True)
    name = models.SlugField(unique=True)
    backend = models.TextField()
    model = models.TextField()
    dimensions = models.PositiveIntegerField()
    ef_search = models.PositiveIntegerField(
        null=True, blank=True, help_text="hnsw.ef_search of searches; none for the usual one."
    )
    dense_weight = models.FloatField(
        null=True, blank=True, help_text="What meaning weighs in hybrid search; none for the usual weight."
    )
    chunk_size = models.PositiveIntegerField()
    chunk_overlap = models.PositiveIntegerField()
    template = models.TextField()
    splitter = models.TextField(default="recursive")
    index = models.TextField(default="halfvec")
    storage = models.TextField(default="vector")
    chunk_bytes = models.GeneratedField(
        expression=1000
        + models.Case(models.When(storage="halfvec", then=2), default=4, output_field=models.IntegerField())
        * models.F("dimensions"),
        output_field=models.IntegerField(),
        db_persist=True,
        help_text="About what a chunk takes in the store.",
    )
    embedding = models.TextField(default="default", help_text="Entry of EMBEDDINGS that it was made with.")
    vectorizer_id = models.IntegerField(unique=True)
    store_schema = models.TextField()
    store_table = models.TextField(help_text="Table that holds the chunks and their embeddings.")
    is_active = models.BooleanField(default=False)
    served_until = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        managed = False
        db_table = "pgknowbase_space"

    def __str__(self) -> str:
        return f"{self.name} ({self.model}, {self.dimensions} d)"
