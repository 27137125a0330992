"""What cannot be adopted says why and what to do, and nothing is changed."""

import pytest
from django.core.management.base import CommandError
from django.db import connection

from pgknowbase.models import Document
from tests.integration.adoption.conftest import CHUNKED
from tests.projects.press.models import Page

pytestmark = pytest.mark.django_db(transaction=True)

BODY = "body text"
# name of the table, its columns, what breaks it, what is said. Vectorizers are named as their tables.
BROKEN = [
    (
        "keyless",
        f"id int CONSTRAINT keyless_pk PRIMARY KEY, {BODY}",
        "ALTER TABLE keyless DROP CONSTRAINT keyless_pk",
        "'public.keyless' has no primary key: add one",
    ),
    (
        "rekeyed",
        f"id int CONSTRAINT rekeyed_pk PRIMARY KEY, other int, {BODY}",
        "ALTER TABLE rekeyed DROP CONSTRAINT rekeyed_pk; ALTER TABLE rekeyed ADD PRIMARY KEY (other)",
        "is other, and pgai knows id",
    ),
    ("unspelled", f"id macaddr PRIMARY KEY, {BODY}", "", "of the type 'macaddr', whose values cannot serve as keys"),
    (
        "loaded",
        "id int PRIMARY KEY, body text",
        "loading => ai.loading_uri('body')",
        "loads documents from the addresses",
    ),
    ("filed", "id int PRIMARY KEY, body bytea", "", "reads documents, of the type 'bytea'"),
    ("parsed", f"id int PRIMARY KEY, {BODY}", "config:parsing", "reads documents"),
    ("renamed", f"id int PRIMARY KEY, {BODY}", "ALTER TABLE renamed RENAME body TO text", "its column 'body' is gone"),
    ("gone", f"id int PRIMARY KEY, {BODY}", "DROP TABLE gone CASCADE", "its source table 'public.gone' is gone"),
    (
        "storeless",
        f"id int PRIMARY KEY, {BODY}",
        "DROP TABLE storeless_embedding_store CASCADE",
        "the table or column of its embeddings is gone",
    ),
    ("elsewhere.far", f"id int PRIMARY KEY, {BODY}", "", "put 'elsewhere' into it"),
    ("wide", f"id int PRIMARY KEY, {BODY}", "dimensions:5000", "has at most 4,000"),
    (
        "altered",
        f"id int PRIMARY KEY, {BODY}",
        "config:dimensions",
        "have 256 dimensions and its configuration says 128",
    ),
]


def catalog(world):
    return world.sql("SELECT v.id, v.config::text, v.disabled FROM ai.vectorizer AS v ORDER BY v.id")


@pytest.fixture(scope="module")
def pages(world):
    """A vectorizer over the table of a model."""
    world.create("pages", "press_page", "text", CHUNKED)
    Page.objects.create(text="A page.")
    world.work_as_pgai()
    return world


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"model": "press.Nothing"}, "'press.Nothing' is not a source model"),
        ({"model": "press.Slip"}, "is a model of the table 'press_slip'.* reads 'public.press_page'"),
        ({"model": "press.Page", "space": "next"}, "no embedding space 'next'"),
        ({"model": "press.Page", "undo": True}, "exclude one another"),
        ({"undo": True}, "'pages' is not adopted"),
        ({"undo": True, "dry_run": True}, "--dry-run belongs to --model"),
        ({"drop_store": True}, "--drop-store belongs to --finish"),
        ({"finish": True}, "'pages' is not adopted"),
    ],
)
def test_arguments(pages, options, said):
    before = catalog(pages)
    with pytest.raises(CommandError, match=said):
        pages.command("pages", **options)
    assert catalog(pages) == before


def test_no_name(pages):
    with pytest.raises(CommandError, match="Name the vectorizer"):
        pages.command(undo=True)


def test_another_model_or_other_dimensions_than_those_of_the_space(pages, settings):
    embedding = settings.PGKNOWBASE["EMBEDDINGS"]["default"]
    other = {**embedding, "MODEL": "another"}
    settings.PGKNOWBASE = {**settings.PGKNOWBASE, "EMBEDDINGS": {"default": embedding, "other": other}}
    pages.space_command("add", "other", embedding="other")
    try:
        with pytest.raises(CommandError, match=r"of 'another' with 256: name another.*or --trust if the models are"):
            pages.command("pages", model="press.Page", space="other")
        assert "0 kept" in pages.command("pages", model="press.Page", space="other", reembed=True, dry_run=True)
        assert "1 kept" in pages.command("pages", model="press.Page", space="other", trust=True, dry_run=True)
    finally:
        pages.space_command("drop", "other", yes=True)


def test_a_model_without_its_triggers(pages):
    pages.sql("ALTER TABLE press_page DISABLE TRIGGER USER")
    try:
        with pytest.raises(CommandError, match=r"triggers of 'press.Page' are missing or disabled"):
            pages.command("pages", model="press.Page")
    finally:
        pages.sql("ALTER TABLE press_page ENABLE TRIGGER USER")
    assert Document.objects.count() == 0


def test_a_model_that_has_none(pages):
    pages.create("manual", "blog_manual", "name", CHUNKED)
    with pytest.raises(CommandError, match="auto_sync = False, so its changes would be missed"):
        pages.command("manual", model="blog.Manual")


def test_a_role_that_does_not_own_the_table(pages):
    pages.sql("DROP ROLE IF EXISTS adoption_reader")
    pages.sql("CREATE ROLE adoption_reader")
    pages.sql("GRANT USAGE ON SCHEMA ai TO adoption_reader")
    pages.sql("GRANT SELECT ON ai.vectorizer TO adoption_reader")
    pages.sql("SET ROLE adoption_reader")
    try:
        with pytest.raises(CommandError) as told:
            pages.command("pages")
    finally:
        pages.sql("RESET ROLE")
        pages.sql("DROP OWNED BY adoption_reader")
        pages.sql("DROP ROLE adoption_reader")
    assert "does not own 'public.press_page'" in str(told.value)
    assert "ai.grant_vectorizer_usage(ROLE, admin => true)" in str(told.value)


def test_what_fails_in_the_middle_leaves_pgai_as_it_was(pages, monkeypatch):
    """The switch comes last: a failure before it is one of nothing but our own documents."""
    before = catalog(pages)

    def fail(*arguments, **options):
        raise CommandError("the machine was switched off")

    monkeypatch.setattr("pgknowbase.adoption.switching.with_short_locks", fail)
    with pytest.raises(CommandError, match="switched off"):
        pages.command("pages", model="press.Page")
    monkeypatch.undo()
    assert (catalog(pages), pages.triggers("press_page")) == (before, {"O"})
    assert "0 kept, 1 present before, 0 to embed" in pages.command("pages", model="press.Page")
    assert connection.in_atomic_block is False


# After the others, because pgai's worker would stumble over them.
@pytest.fixture(scope="module")
def broken(world):
    world.sql("CREATE SCHEMA elsewhere")
    for table, columns, change, _ in BROKEN:
        name = table.rpartition(".")[2]
        world.sql(f"CREATE TABLE {table} ({columns})")
        loading = change.removeprefix("loading => ") if change.startswith("loading") else "ai.loading_column('body')"
        dimensions = change.removeprefix("dimensions:") if change.startswith("dimensions:") else 256
        world.sql(
            f"SELECT ai.create_vectorizer('{table}', name => '{name}', loading => {loading}, {CHUNKED},"
            f" embedding => ai.embedding_openai('wordllama-256', {dimensions}))"
        )
        if change == "config:parsing":
            world.sql(
                "UPDATE ai.vectorizer SET config = jsonb_set(config, '{parsing}', ai.parsing_docling())"
                " WHERE name = 'parsed'"
            )
        elif change == "config:dimensions":
            world.sql(
                "UPDATE ai.vectorizer SET config = jsonb_set(config, '{embedding,dimensions}', '128')"
                " WHERE name = 'altered'"
            )
        elif change and not change.startswith(("loading", "dimensions")):
            world.sql(change)
    yield world
    world.sql(
        "SELECT ai.drop_vectorizer(v.id, drop_all => true) FROM ai.vectorizer AS v"
        " WHERE v.source_table <> 'pgknowbase_document'"
    )
    world.sql("DROP SCHEMA elsewhere CASCADE")
    for table, *_ in BROKEN:
        world.sql(f"DROP TABLE IF EXISTS {table} CASCADE" if "." not in table else "SELECT 1")


@pytest.mark.parametrize(("table", "said"), [(row[0], row[3]) for row in BROKEN], ids=[row[0] for row in BROKEN])
def test_vectorizer(broken, table, said):
    before, name = catalog(broken), table.rpartition(".")[2]
    for options in ({}, {"model": "press.Page"}):
        with pytest.raises(CommandError) as told:
            broken.command(name, **options)
        assert said in str(told.value)
    assert catalog(broken) == before
