"""One row's way from trigger to search result."""

import pytest

from pgknowbase.models import Chunk, Document, ExternalData, OutboxEvent
from tests.projects.blog.models import Article, Category, Note

pytestmark = pytest.mark.django_db(transaction=True)


def test_saved_row_becomes_searchable(drain):
    Article.objects.create(title="Gzip files", body="How to read a compressed file line by line.")
    Article.objects.create(title="Cooking rice", body="Wash the rice, then steam it.")
    assert OutboxEvent.objects.count() == 2
    totals = drain()
    assert totals.events == 2
    assert totals.documents == 2
    assert OutboxEvent.objects.count() == 0
    found = list(Article.objects.semantic_search("reading a compressed file", threshold=-1))
    assert [row.title for row in found] == ["Gzip files", "Cooking rice"]
    assert found[0].similarity > found[1].similarity
    assert "compressed file" in found[0].matched_chunk
    assert found[0].external_data.status == "completed"
    assert found[0].external_data.chunk_count == 1


def test_updates_and_deletes_follow(drain):
    article = Article.objects.create(title="Gzip files", body="How to read a compressed file.")
    drain()
    Article.objects.filter(pk=article.pk).update(body="How to steam rice.")
    drain()
    (found,) = Article.objects.semantic_search("rice")
    assert "steam rice" in found.matched_chunk
    article.delete()
    drain()
    assert not ExternalData.objects.exists()
    assert not Document.objects.exists()
    assert not Chunk.objects.exists()


def test_unwatched_column_writes_no_event(drain):
    article = Article.objects.create(title="a", body="b")
    drain()
    Article.objects.filter(pk=article.pk).update(views=7)
    assert not OutboxEvent.objects.exists()


def test_similar_and_cross_model(drain):
    category = Category.objects.create(name="food")
    rice = Article.objects.create(title="Rice", body="Steam the rice in water.", category=category)
    Article.objects.create(title="Noodles", body="Boil the noodles in water.")
    Article.objects.create(title="Database", body="An index speeds up a query.")
    Note.notes.create(text="A note about boiling pasta in water.")
    drain()
    assert [row.title for row in rice.similar(2, threshold=-1)] == ["Noodles", "Database"]
    hits = ExternalData.objects.search("cooking pasta", limit=2, threshold=-1)
    assert {hit.source_model for hit in hits} == {Note, Article}
    assert [h.source_model for h in ExternalData.objects.search("cooking pasta", models=[Note])] == [Note]
