from django.db import models


class Document(models.Model):
    """The rendered text of one source row: all that a vectorizer reads, alone in a narrow table.

    ``source`` is the content type's id, ``id`` the object key, ``language`` a text search configuration.
    """

    pk = models.CompositePrimaryKey("source", "id")
    source = models.IntegerField()
    id = models.TextField()
    title = models.TextField()
    content = models.TextField()
    language = models.TextField(default="simple", db_default="simple")

    class Meta:
        db_table = "pgknowbase_document"

    def __str__(self) -> str:
        return self.title
