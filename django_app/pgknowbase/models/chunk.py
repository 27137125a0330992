from django.db import models


class Chunk(models.Model):
    """One embedded piece of a document, read from the view of the active embedding space.

    ``text`` is what was embedded: the space's template (title and chunk) filled in.
    """

    uuid = models.UUIDField(primary_key=True, db_column="embedding_uuid")
    source = models.IntegerField()
    object_key = models.TextField(db_column="id")
    position = models.IntegerField(db_column="chunk_seq")
    text = models.TextField(db_column="chunk")
    tokens = models.IntegerField(null=True)

    class Meta:
        managed = False
        db_table = "pgknowbase_chunk"
        ordering = ["source", "object_key", "position"]
        default_permissions = ("view",)

    def __str__(self) -> str:
        return f"{self.object_key} #{self.position}"
