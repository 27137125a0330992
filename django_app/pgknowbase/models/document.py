"""The rendered text of source rows, and the chunks that a vectorizer makes of it."""

from collections.abc import Collection
from functools import partial
from typing import Any, Self

from django.db import models

from pgknowbase.core import gateway
from pgknowbase.search.servers_down import whole_answer

NO_CHUNKS = "the chunks cannot be read"


class Document(models.Model):
    """The rendered title and text of one source row: all that a vectorizer reads.

    It has a table of its own, apart from ``ExternalData``, so that a change of tags or of visibility does not queue the
    text for embedding anew.

    Attributes:
        source: the id of the source model's content type. It is not a foreign key, because pgai copies the primary key
            of a document into its queue and its chunk store.
        id: the object key.
        content: the text. In the table it is NULL where texts lie on the shards of a Citus cluster
            (``pgknowbase_documents_distribute_v1``); whoever loads a document gets it from there.
        language: the text search configuration of the words, such as ``'german'``.
        digest: of such a text, its md5 in hexadecimal digits; else None.
    """

    pk = models.CompositePrimaryKey("source", "id")
    source = models.IntegerField()
    id = models.TextField()
    title = models.TextField()
    content = models.TextField(null=True)  # noqa: DJ001 - NULL: it is elsewhere
    language = models.TextField(default="simple", db_default="simple")
    digest = models.TextField(null=True, editable=False)  # noqa: DJ001 - NULL: it is here

    class Meta:
        db_table = "pgknowbase_document"
        constraints = (
            models.CheckConstraint(
                condition=models.Q(content__isnull=False) | models.Q(digest__isnull=False),
                name="pgknowbase_document_text",
            ),
        )

    def __str__(self) -> str:
        return self.title

    @classmethod
    def from_db(cls, db: str | None, field_names: Collection[str], values: Collection[Any], **options: Any) -> Self:
        """Load a document, with its text where that lies on another server.

        Raises:
            ServerDownError: that server does not answer.
        """
        document = super().from_db(db, field_names, values, **options)
        if db is not None and vars(document).get("content", "") is None:
            document.content = whole_answer(
                db,
                partial(gateway.fetch_value, db, "document_content", source=document.source, id=document.id),
                so=f"the text of {document.id!r} cannot be read",
                distributed=True,
            )
        return document


class ChunkQuerySet(models.QuerySet["Chunk"]):
    """Chunks, of which some may lie on a server of the cluster that does not answer."""

    def count(self) -> int:
        """How many there are."""
        return whole_answer(self.db, super().count, so=NO_CHUNKS)

    def _fetch_all(self) -> None:
        whole_answer(self.db, super()._fetch_all, so=NO_CHUNKS)


class Chunk(models.Model):
    """One embedded piece of a document, read from the view of the active embedding space.

    Attributes:
        position: the place of the chunk in its document, from 0.
        text: what was embedded: the template of the space with title and chunk filled in.
        tokens: the tokens of ``text`` as the embedding model counts them, or None where they were not counted.
    """

    uuid = models.UUIDField(primary_key=True, db_column="embedding_uuid")
    source = models.IntegerField()
    object_key = models.TextField(db_column="id")
    position = models.IntegerField(db_column="chunk_seq")
    text = models.TextField(db_column="chunk")
    tokens = models.IntegerField(null=True)

    objects = ChunkQuerySet.as_manager()

    class Meta:
        managed = False
        db_table = "pgknowbase_chunk"
        ordering = ["source", "object_key", "position"]
        default_permissions = ("view",)

    def __str__(self) -> str:
        return f"{self.object_key} #{self.position}"
