"""Who needs which rights: the owner of the database no more than that, a writer none but on its own table."""

import pytest
from psycopg import errors, sql

WORK = """
from django.core.management import call_command
from tests.blog.models import Article
Article.objects.create(title='Gzip files', body='How to read a compressed file line by line.')
call_command('pgknowbase_worker', once=True, verbosity=0)
print('found', [row.title for row in Article.objects.semantic_search('reading compressed files')])
"""
INSERT_ARTICLE = """
INSERT INTO public.blog_article (title, body, status, views) VALUES ('a', 'b', 'c', 0), ('d', 'e', 'f', 0)
"""
EVENTS = "SELECT source, op FROM pgknowbase_outbox ORDER BY id"
TRIGGER_FUNCTION = "SELECT oid::regproc::text FROM pg_proc WHERE proname LIKE 'pgtrigger_pgknowbase_insert%%' LIMIT 1"


def test_owner_who_is_no_superuser_migrates_and_works(make_database, make_role):
    owner = make_role()
    database = make_database(owner=owner)
    with database.connect() as superuser:
        superuser.execute("CREATE EXTENSION vector")
    assert database.value("SELECT rolsuper FROM pg_roles WHERE rolname = %s", owner) is False
    printed = database.manage("migrate -v0", ["shell", "-c", WORK])
    assert "found ['Gzip files']" in printed
    owners = "SELECT DISTINCT pg_get_userbyid(relowner) FROM pg_class WHERE relname LIKE 'pgknowbase%%'"
    assert database.rows(owners) == [(owner,)]
    database.manage("migrate pgknowbase_agents zero", "migrate pgknowbase zero")
    assert not database.rows("SELECT 1 FROM pg_class WHERE relname LIKE 'pgknowbase%%'")


@pytest.fixture
def writer(database, make_role):
    """A connection of a role that may write articles and nothing else, with a search path of its own."""
    role = make_role()
    name = sql.Identifier(role)
    with database.connect() as admin:
        admin.execute(sql.SQL("CREATE SCHEMA elsewhere AUTHORIZATION {}").format(name))
        admin.execute(sql.SQL("GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE ON blog_article TO {}").format(name))
        admin.execute(sql.SQL("GRANT USAGE ON SEQUENCE blog_article_id_seq TO {}").format(name))
    with database.connect(role) as connection:
        connection.execute("SET search_path = elsewhere")
        yield connection


def test_writer_without_rights_is_captured(database, writer):
    writer.execute(INSERT_ARTICLE)
    writer.execute("UPDATE public.blog_article SET title = 'z' WHERE title = 'a'")
    writer.execute("DELETE FROM public.blog_article WHERE title = 'z'")
    writer.execute("TRUNCATE public.blog_article")
    assert database.rows(EVENTS) == [("blog.Article", op) for op in "IUDT"]


def test_writer_cannot_read_or_write_the_outbox(writer):
    with pytest.raises(errors.InsufficientPrivilege):
        writer.execute("SELECT * FROM public.pgknowbase_outbox")
    with pytest.raises(errors.InsufficientPrivilege):
        writer.execute("INSERT INTO public.pgknowbase_outbox (source, op) VALUES ('blog.Article', 'T')")


def test_writer_cannot_use_the_trigger_function(database, writer):
    function = sql.SQL(database.value(TRIGGER_FUNCTION))
    writer.execute("CREATE TABLE mine (id bigint)")
    with pytest.raises(errors.InsufficientPrivilege):
        writer.execute(
            sql.SQL(
                "CREATE TRIGGER mine AFTER INSERT ON mine REFERENCING NEW TABLE AS new_rows EXECUTE FUNCTION public.{}()"
            ).format(function)
        )
    with pytest.raises(errors.InsufficientPrivilege):
        writer.execute(sql.SQL("SELECT public.{}()").format(function))


@pytest.mark.parametrize("schema", ["pg_temp", "elsewhere"])
def test_writer_cannot_divert_events(database, writer, schema):
    writer.execute(
        sql.SQL(
            "CREATE TABLE {}.pgknowbase_outbox (id serial, source text, path text, object_keys text[], op text)"
        ).format(sql.Identifier(schema))
    )
    writer.execute(INSERT_ARTICLE)
    assert database.rows(EVENTS) == [("blog.Article", "I")]
    assert writer.execute("SELECT count(*) FROM pgknowbase_outbox").fetchone() == (0,)


def test_writer_cannot_run_code_as_the_owner(database, writer):
    """An operator or function of the writer's own is not what the trigger calls."""
    writer.execute(
        "CREATE FUNCTION elsewhere.current_setting(text, boolean) RETURNS text LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'ran as %', current_user; END $$"
    )
    writer.execute("SET search_path = elsewhere, pg_catalog")
    writer.execute(INSERT_ARTICLE)
    assert len(database.rows(EVENTS)) == 1
