"""Who needs which rights: the owner of the database no more than that, a writer none but on its own table."""

import pytest
from psycopg import errors, sql

WORK = """
from django.core.management import call_command
from tests.projects.blog.models import Article
Article.objects.create(title='Gzip files', body='How to read a compressed file line by line.')
call_command('pgknowbase_worker', once=True, verbosity=0)
print('found', [row.title for row in Article.objects.semantic_search('reading compressed files')])
"""
# What a superuser of the service has done before the role comes.
SERVICE = """
    CREATE SCHEMA extensions;
    CREATE EXTENSION vector SCHEMA extensions;
    GRANT USAGE ON SCHEMA extensions TO {role};
    GRANT CREATE ON DATABASE {name} TO {role};
    GRANT CREATE ON SCHEMA public TO {role};
    ALTER ROLE {role} SET search_path = "$user", public, extensions;
"""
OPERATIONS = (
    "pgknowbase_status",
    "pgknowbase_doctor",
    "sync_external_models --check",
    "pgknowbase_space rebuild --yes",
    "pgknowbase_worker --once -v0",
    "pgknowbase_space index",
    "pgknowbase_space indexes",
    "pgknowbase_tune recall",
)
INSERT_ARTICLE = """
INSERT INTO public.blog_article (title, body, status, views) VALUES ('a', 'b', 'c', 0), ('d', 'e', 'f', 0)
"""
EVENTS = "SELECT source, op FROM pgknowbase_outbox ORDER BY id"
TRIGGER_FUNCTION = "SELECT oid::regproc::text FROM pg_proc WHERE proname LIKE 'pgtrigger_pgknowbase_insert%%' LIMIT 1"


def works_and_leaves(database, *commands):
    """The role migrated the database; it works there, and takes away what it made."""
    assert database.value("SELECT rolsuper FROM pg_roles WHERE rolname = %s", database.role) is False
    assert "found ['Gzip files']" in database.manage(["shell", "-c", WORK], *commands)
    owners = "SELECT DISTINCT pg_get_userbyid(relowner) FROM pg_class WHERE relname LIKE 'pgknowbase%%'"
    assert database.rows(owners) == [(database.role,)]
    database.manage("migrate pgknowbase_agents zero", "migrate pgknowbase zero")
    assert not database.rows("SELECT 1 FROM pg_class WHERE relname LIKE 'pgknowbase%%'")


def test_owner_of_the_database_works_and_leaves(owned, make_database):
    works_and_leaves(make_database(template=owned.name, owner=owned.role))


def test_role_of_a_managed_service_migrates_works_and_leaves(make_database, make_role):
    """docs/managed-postgres.md: the role that the service gives, with an extension that is not its own."""
    database, role = make_database(), make_role()
    with database.connect() as superuser:
        superuser.execute(sql.SQL(SERVICE).format(role=sql.Identifier(role), name=sql.Identifier(database.name)))
    database.role = role
    database.manage("migrate -v0")
    works_and_leaves(database, *OPERATIONS)


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


# Functions that a role calls: nothing of another role runs as the caller

PINNED = """
SELECT DISTINCT c.setting FROM pg_proc AS p CROSS JOIN unnest(p.proconfig) AS c (setting)
WHERE p.proname LIKE 'pgknowbase\\_%%' AND c.setting LIKE 'search_path=%%'
"""
CALLS = (
    "SELECT * FROM public.pgknowbase_search_keyword_v1('gzip files', 5)",
    "SELECT * FROM public.pgknowbase_tokenize_document_v1('english', 'Gzip files')",
    "SELECT public.pgknowbase_tokenize_ascii('english', 'Gzip files')",
    "SELECT * FROM public.pgknowbase_search_dense_v1((SELECT embedding FROM public.pgknowbase_chunk LIMIT 1), 5)",
    "SELECT public.pgknowbase_keywords_refresh_v1(10)",
    "SELECT * FROM public.pgknowbase_status",
)


def test_a_role_that_may_create_schemas_runs_nothing_as_a_caller(owned, make_database, make_role):
    """``"$user"`` stands in the default search path: a schema of the caller's name comes before all others."""
    caller, stranger = owned.role, make_role()
    database = make_database(template=owned.name, owner=caller)
    with database.connect() as superuser:
        superuser.execute(sql.SQL("GRANT CREATE ON DATABASE {} TO PUBLIC").format(sql.Identifier(database.name)))
        superuser.execute(sql.SQL("GRANT CREATE ON SCHEMA public TO {}").format(sql.Identifier(caller)))
    database.manage(["shell", "-c", WORK])
    names = [
        name for (name,) in database.rows("SELECT DISTINCT proname FROM pg_proc WHERE proname LIKE 'pgknowbase%%'")
    ]
    with database.connect(stranger) as other:
        other.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(caller)))
        other.execute(sql.SQL("GRANT USAGE ON SCHEMA {} TO PUBLIC").format(sql.Identifier(caller)))
        bodies = "LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'ran as %', current_user; END $$"
        other.execute(sql.SQL("SET search_path = {}, public").format(sql.Identifier(caller)))
        for signature in database.rows(
            "SELECT p.proname, pg_get_function_identity_arguments(p.oid), p.prorettype::regtype::text, p.proretset"
            " FROM pg_proc AS p WHERE p.proname = ANY (%s) AND p.prorettype <> 'trigger'::regtype"
            " AND p.proargmodes IS NULL",
            names,
        ):
            name, arguments, kind, is_set = signature
            returned = f"SETOF {kind}" if is_set else kind
            other.execute(f"CREATE FUNCTION {name}({arguments}) RETURNS {returned} {bodies}")
        other.execute(f"CREATE FUNCTION lower(text) RETURNS text {bodies}")
    with database.connect(caller) as connection:
        assert connection.execute("SHOW search_path").fetchone() == ('"$user", public',)
        for call in CALLS:
            connection.execute(call)
    assert database.rows(PINNED) == [("search_path=pg_catalog, public, pg_temp",)]


def test_functions_of_another_schema_are_pinned_to_it(make_database, make_role):
    owner = make_role()
    database = make_database(owner=owner)
    with database.connect() as superuser:
        superuser.execute("CREATE EXTENSION vector")
        superuser.execute(sql.SQL("CREATE SCHEMA north AUTHORIZATION {}").format(sql.Identifier(owner)))
        superuser.execute(sql.SQL("ALTER ROLE {} SET search_path = north, public").format(sql.Identifier(owner)))
    database.manage("migrate -v0", ["shell", "-c", WORK])
    assert database.rows(PINNED) == [("search_path=pg_catalog, north, public, pg_temp",)]


def test_functions_that_are_pinned_to_another_path_are_replaced(database):
    pinned = [("search_path=pg_catalog, public, pg_temp",)]
    assert database.rows(PINNED) == pinned
    with database.connect() as superuser:
        superuser.execute('ALTER FUNCTION pgknowbase_bigrams SET search_path = "$user", public')
    assert len(database.rows(PINNED)) == 2
    database.manage("migrate -v0")
    assert database.rows(PINNED) == pinned
