"""The embedding spaces."""

from django.db import models
from django.db.models.functions import Now


class EmbeddingSpace(models.Model):
    """An embedding space: backend, model, dimensions and chunking, with its pgai vectorizer and its chunk store.

    Searches read the active space. The model is unmanaged and its table is created in ``sql/``, because a space
    belongs to the schema: Django's ``flush``, which tests use, must not empty it.

    Attributes:
        chunk_size: the most characters of a chunk; consecutive chunks share ``chunk_overlap`` characters.
        template: how title and chunk are joined into the text that is embedded.
        served_until: when another space replaced this one as the active space, or None.
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
    rerank = models.JSONField(
        db_default=[], default=list, blank=True, help_text="Where a second stage of searches gains."
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
    fingerprint = models.TextField(default="", help_text="What decides its vectors besides the texts.")
    caps = models.TextField(default="", help_text="Caps of which its workers have heard last.")
    vectorizer_id = models.IntegerField(unique=True)
    store_schema = models.TextField()
    store_table = models.TextField(help_text="Table that holds the chunks and their embeddings.")
    is_active = models.BooleanField(default=False)
    distributed = models.BooleanField(default=False, help_text="Its store is spread over the servers of a cluster.")
    served_until = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        managed = False
        db_table = "pgknowbase_space"

    def __str__(self) -> str:
        return f"{self.name} ({self.model}, {self.dimensions} d)"
