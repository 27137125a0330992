"""Rows replaced under a deferred foreign key, as reference tables are refreshed: the documents show the new ones."""

import pytest
from django.contrib.auth.models import Group, User
from django.db import connection, transaction

from pgknowbase.models import ExternalData
from tests.projects.press.models import Article, Author
from tests.projects.shapes.models import Essay, Museum, Remark, Tag, Topic

pytestmark = pytest.mark.django_db(transaction=True)


def replace(table, **values):
    """Delete the row with this id and insert another one with the same id, in one transaction."""
    columns, places = ", ".join(f'"{name}"' for name in values), ", ".join(["%s"] * len(values))
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f'DELETE FROM "{table}" WHERE id = %s', [values["id"]])
        cursor.execute(f'INSERT INTO "{table}" ({columns}) VALUES ({places})', list(values.values()))


def content(row):
    return ExternalData.objects.of(row).get().content


def test_foreign_key(drain):
    author = Author.objects.create(name="Old")
    article = Article.objects.create(title="t", body="b", author=author)
    drain()
    assert "by Old" in content(article)
    replace("press_author", id=author.pk, name="New")
    drain()
    assert "by New" in content(article)


def test_two_steps_along_a_path(drain):
    parent = Topic.objects.create(name="Old", slug="p")
    topic = Topic.objects.create(name="t", slug="t", parent=parent)
    essay = Essay.objects.create(title="e", topic=topic)
    drain()
    assert "Old" in content(essay)
    replace("shapes_topic", id=parent.pk, slug="p", name="New")
    drain()
    assert "New" in content(essay)
    replace("shapes_topic", id=topic.pk, slug="t", name="Newer")
    drain()
    assert "Newer" in content(essay)


def test_target_of_many_to_many(drain):
    essay, tag = Essay.objects.create(title="e"), Tag.objects.create(name="Old")
    essay.tags.add(tag)
    drain()
    assert "Old" in content(essay)
    replace("shapes Tag ü", id=tag.pk, **{"Name ñ": "New"})
    drain()
    assert "New" in content(essay)


def test_behind_a_reverse_foreign_key(drain):
    user = User.objects.create(username="old")
    essay = Essay.objects.create(title="e")
    Remark.objects.create(essay=essay, writer=user, text="r")
    drain()
    assert "old" in content(essay)
    kept = User.objects.filter(pk=user.pk).values().get()
    replace("auth_user", **kept | {"username": "new"})
    drain()
    assert "new" in content(essay)


def test_row_of_the_parent_in_multi_table_inheritance(drain):
    museum = Museum.objects.create(name="Old", hours="9")
    drain()
    assert "Old" in content(museum)
    replace("shapes_place", id=museum.pk, name="New")
    drain()
    assert "New" in content(museum)


def test_deleting_what_nobody_shows_renders_nothing(drain):
    Author.objects.create(name="alone").delete()
    Group.objects.create(name="alone").delete()
    assert drain().rows.total() == 0
