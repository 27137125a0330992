"""What a space that is distributed says where there is no cluster. With one: tests/cluster."""

import pytest
from django.core.management import CommandError
from django.db import DatabaseError
from django.test import override_settings

from pgknowbase.checks import check_database
from pgknowbase.conf import SpaceSettings
from pgknowbase.core import gateway
from pgknowbase.errors import SpaceError, SpaceMismatchError
from pgknowbase.models import EmbeddingSpace
from pgknowbase.spaces.cluster import distribute_space, undistribute_space
from pgknowbase.spaces.lifecycle import activate_space, add_space, space_settings
from tests.integration.spaces.conftest import project, space, space_command, sql, work
from tests.projects.blog.models import Article


def test_without_the_extension_nothing_is_distributed():
    Article.objects.create(title="gears", body="gears turn")
    work()
    with pytest.raises(SpaceError, match=r"nothing was changed: the database .* has no extension citus"):
        distribute_space("default", "default")
    with pytest.raises(CommandError, match="has no extension citus"):
        space_command("distribute", "default", "--shards", "4")
    with pytest.raises(SpaceError, match="is one table"):
        undistribute_space("default", "default")
    with pytest.raises(DatabaseError, match="has no extension citus"):
        add_space("default", "next", space_settings("next", distributed=True))
    assert not EmbeddingSpace.objects.filter(name="next").exists()
    assert [article.title for article in Article.objects.semantic_search("gears")] == ["gears"]


def test_a_distributed_space_whose_cluster_is_gone_says_so():
    """What is left of its table is empty, which must not pass for an index without hits."""
    Article.objects.create(title="gears", body="gears turn")
    work()
    sql("UPDATE pgknowbase_space SET distributed = true")
    try:
        with pytest.raises(SpaceMismatchError, match="has no extension citus"):
            list(Article.objects.semantic_search("gears"))
        with pytest.raises(SpaceMismatchError, match="has no extension citus"):
            list(Article.objects.hybrid_search("gears"))
        Article.objects.update(body="gears stand still")
        with pytest.raises(DatabaseError, match="has no extension citus"):
            work()
        with pytest.raises(DatabaseError, match="has no extension citus"):
            gateway.fetch("default", "space_activate", space=space().pk)
        (fault,) = check_database(databases=["default"])
        assert fault.id == "pgknowbase.E025"
        assert "The space 'default' is distributed" in fault.msg
    finally:
        sql("UPDATE pgknowbase_space SET distributed = false")
    work()
    assert [article.body for article in Article.objects.semantic_search("gears")] == ["gears stand still"]


def test_check_tells_of_a_wish_that_no_cluster_can_fulfil():
    with override_settings(PGKNOWBASE=project(SPACE={"DISTRIBUTED": True})):
        (fault,) = check_database(databases=["default"])
    assert fault.id == "pgknowbase.E025"
    assert "ask for a distributed store" in fault.msg


def test_binary_index_and_cluster_exclude_each_other():
    with pytest.raises(ValueError, match="INDEX 'halfvec' alone"):
        SpaceSettings.model_validate({"DISTRIBUTED": True, "INDEX": "binary"})
    with pytest.raises(SpaceError, match="cannot be as asked"):
        space_settings("next", distributed=True, index="binary")


def test_list_says_which_are_distributed():
    assert space_command("list").rstrip().endswith("active")
    sql("UPDATE pgknowbase_space SET distributed = true")
    try:
        assert space_command("list").rstrip().endswith("active, distributed")
    finally:
        sql("UPDATE pgknowbase_space SET distributed = false")


def test_activation_needs_the_cluster():
    add_space("default", "next", space_settings("next"))
    sql("UPDATE pgknowbase_space SET distributed = true WHERE name = 'next'")
    with pytest.raises((SpaceError, DatabaseError, SpaceMismatchError), match="has no extension citus"):
        activate_space("default", "next", force=True)
    assert space().is_active
    sql("UPDATE pgknowbase_space SET distributed = false")
