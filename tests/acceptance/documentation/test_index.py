"""Examples of what is indexed, and of searches."""

import re
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test.utils import isolate_apps

from pgknowbase.capture.triggers import capture_triggers
from pgknowbase.models import ExternalData
from pgknowbase.signals import external_data_failed
from pgknowbase.sources.registry import source_of
from pgknowbase.worker import Worker
from tests.integration.spaces.conftest import worker_running
from tests.projects.blog.models import Article as Story
from tests.projects.blog.models import Note as Told
from tests.projects.press.models import Article, Tag

BICYCLE = "The bicycle gears slipped until the rear derailleur was adjusted. How do I repair my gears?"


@pytest.fixture
def rows(transactional_db):
    """What the examples search: two rows, in the index."""
    ann = User.objects.create_user("ann")
    note = Article.objects.create(title="Bicycle", body=BICYCLE, owner=ann)
    note.tags.add(Tag.objects.create(name="howto"))
    article = Story.objects.create(title="Bread", body="Let the dough rise overnight.", author=ann)
    Worker().run_until_idle()
    return {
        "Note": Article,
        "Article": Story,
        "ExternalData": ExternalData,
        "user": ann,
        "note": note,
        "article": article,
    }


SIGNATURE = """
SELECT pg_get_function_identity_arguments(oid), pg_get_function_result(oid) FROM pg_proc
WHERE proname = %s
"""
BODY = "LANGUAGE plpgsql AS 'BEGIN END'"


def found(page, names):
    """The rows that each line of the next block finds."""
    return [list(eval(line, names)) for line in page.take("python").splitlines()]


@isolate_apps("tests.projects.blog")
def test_models(page, rows, capsys):
    declared = page.run({"__name__": "tests.projects.blog.models"})["Article"]
    assert [fault.id for fault in declared.check() if "pgknowbase" in str(fault.id)] == []
    assert len(capture_triggers(source_of(declared))) > 3
    assert page.run({"timedelta": timedelta})["ExternalDataMeta"].refresh_after == timedelta(days=1)
    with worker_running():
        page.run(rows)
    assert rows["article"].has_external_data
    page.run(rows)
    assert Story.objects.get().body == "..."
    receiver = page.run({})["tell"]
    told = Told.notes.create(text="explode")
    Worker().run_until_idle()
    external_data_failed.disconnect(receiver)
    assert f"blog.Note {told.pk} " in capsys.readouterr().out


def test_searching(page, rows, capsys):
    note = rows["note"]
    assert found(page, rows) == [[note], [note]]  # by meaning
    assert found(page, rows) == [[note], [note]]  # by words, and by both
    assert found(page, rows) == [[note]]  # with operators
    assert page.run(rows)["rows"].did_you_mean == "bicycle gears"
    assert page.run({})["ExternalDataMeta"].synonyms
    page.run(rows, note=None)
    assert "<mark>gears</mark>" in rows["note"].snippet
    assert list(page.run(rows)["page"]) == [note]
    assert rows["page"].next_cursor is None
    assert page.run(rows)["found"].facets["tags"].values[0].value == "howto"
    page.run(rows)  # metadata
    assert [len(each) for each in found(page, rows)] == [0, 1, 0, 0]  # similar rows: none to the only note
    page.run(rows)  # across models
    assert note.title in capsys.readouterr().out
    Article.objects.create(title="Chains", body="No gears.")
    assert len(found(page, rows)[0]) == 2  # with pending rows
    page.run(rows)
    assert "exact over the filtered rows: 1 pass" in capsys.readouterr().out
    assert page.run(rows)["rows"] == ["Bicycle"]
    page.take("sh")  # it needs the project of the README: tests/acceptance/test_readme.py


def test_sql(page, rows):
    rows["note"].body += " With gzip."
    rows["note"].save()
    Worker().run_until_idle()
    ExternalData.objects.filter(title="Bicycle").update(is_public=True)  # the examples ask for nobody in particular
    with connection.cursor() as cursor:

        def signature(name):
            cursor.execute(SIGNATURE, [name])
            (found,) = cursor.fetchall()
            return found

        while page.left:
            code = page.take("sql")
            if re.match(r"SELECT|WITH", code):
                cursor.execute(code)
                assert cursor.fetchall(), code
            else:
                name, arguments, returned = re.match(r"(\w+)\((.*?)\)\s+RETURNS (.*)", code, re.DOTALL).groups()
                cursor.execute(f"CREATE FUNCTION pg_temp.{name}_documented({arguments}) RETURNS {returned} {BODY}")
                assert signature(f"{name}_documented") == signature(name)
