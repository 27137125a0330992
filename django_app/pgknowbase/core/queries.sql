-- Statements that Python runs: what all packages need stands here, the others' in a queries.sql of each package. A line
-- '-- name --' begins a query, and the gateway runs it by that name, which is unique among all packages:
--
--     gateway.fetch(using, "outbox_ack", ids=[41, 42])
--
-- Parameters are named, and a literal percent sign is doubled. Most queries call one function of sql/, whose file says
-- what it does; comments here say only what such a file does not.

-- has_citus --
SELECT EXISTS (SELECT FROM pg_extension AS x WHERE x.extname = 'citus')

-- citus_refuses_extensions --
-- Whether CREATE EXTENSION IF NOT EXISTS is an error for the current role: Citus repeats it on all servers.
SELECT EXISTS (SELECT FROM pg_extension AS x WHERE x.extname = 'citus') AND NOT r.rolsuper
FROM pg_roles AS r WHERE r.rolname = current_user

-- set_read_committed --
SET TRANSACTION ISOLATION LEVEL READ COMMITTED

-- set_read_only --
SELECT set_config('transaction_read_only', 'on', true)

-- isolation_level --
SELECT current_setting('transaction_isolation')

-- set_lock_timeout --
SELECT set_config('lock_timeout', %(timeout)s, true)

-- exchange_statement_timeout --
-- Sets it, and returns what it was. The subquery is evaluated first, since the function needs its value.
SELECT b.before FROM (SELECT current_setting('statement_timeout') AS before OFFSET 0) AS b
WHERE set_config('statement_timeout', %(timeout)s, b.before IS NOT NULL) IS NOT NULL

-- set_statement_timeout --
SELECT set_config('statement_timeout', %(timeout)s, true)

-- setting --
SELECT current_setting(%(name)s)

-- probe --
SELECT 1

-- lock_name --
-- One holder of a name at a time, until the end of the transaction.
SELECT pg_advisory_xact_lock(hashtextextended(%(name)s, 0))

-- now --
SELECT clock_timestamp()

-- backend_pid --
SELECT pg_backend_pid()

-- is_installed --
SELECT to_regclass('pgknowbase_space') IS NOT NULL

-- function_path --
-- The search path with which functions are created, behind pg_catalog: the schema of our own objects, that of Django's
-- content types and that of pgvector, and no other. "$user" and what else a session has may be a stranger's.
SELECT string_agg(quote_ident(s.name), ', ' ORDER BY s.place) || ', pg_temp'
FROM (
    SELECT f.name, min(f.place) AS place
    FROM (
        SELECT current_schema()::text AS name, 1 AS place
        UNION ALL
        SELECT n.nspname::text, 2 FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
        WHERE c.oid = to_regclass('django_content_type')
        UNION ALL
        SELECT n.nspname::text, 3 FROM pg_extension AS x JOIN pg_namespace AS n ON n.oid = x.extnamespace
        WHERE x.extname = 'vector'
    ) AS f
    GROUP BY f.name
) AS s

-- exchange_search_path --
SELECT b.before FROM (SELECT current_setting('search_path') AS before OFFSET 0) AS b
WHERE set_config('search_path', %(path)s, b.before IS NOT NULL) IS NOT NULL

-- repeatable_objects --
-- The functions and views of the current schema that migrate replaces: those whose comment begins with its mark, and those
-- of these names without any comment, which a dump may have lost. The comment of a function that is pinned to another
-- search path is cut, so that it counts as changed.
SELECT p.proname::text AS name, CASE p.prokind WHEN 'p' THEN 'PROCEDURE' ELSE 'FUNCTION' END AS kind, p.oid::regprocedure::text AS identity,
    CASE WHEN EXISTS (
        SELECT 1 FROM unnest(p.proconfig) AS c (setting)
        WHERE starts_with(c.setting, 'search_path=') AND c.setting <> 'search_path=' || %(path)s)
    THEN %(mark)s ELSE coalesce(d.description, %(mark)s) END AS comment
FROM pg_proc AS p LEFT JOIN pg_description AS d ON d.objoid = p.oid AND d.classoid = 'pg_proc'::regclass
WHERE p.pronamespace = to_regnamespace(quote_ident(current_schema()))
    AND CASE WHEN d.description IS NULL THEN p.proname = ANY (%(names)s) ELSE starts_with(d.description, %(mark)s) END
UNION ALL
SELECT c.relname::text, 'VIEW', c.oid::regclass::text, coalesce(d.description, %(mark)s)
FROM pg_class AS c
LEFT JOIN pg_description AS d ON d.objoid = c.oid AND d.classoid = 'pg_class'::regclass AND d.objsubid = 0
WHERE c.relkind = 'v' AND c.relnamespace = to_regnamespace(quote_ident(current_schema()))
    AND CASE WHEN d.description IS NULL THEN c.relname = ANY (%(names)s) ELSE starts_with(d.description, %(mark)s) END

-- missing_tables --
-- Which of these tables and types are not there.
SELECT n.name FROM unnest(%(names)s::text[]) AS n (name)
WHERE to_regclass(quote_ident(n.name)) IS NULL AND to_regtype(quote_ident(n.name)) IS NULL

-- function_identity --
-- The function or procedure of this name that was created last: the transaction that asks has just done so.
SELECT p.oid::regprocedure::text
FROM pg_proc AS p
WHERE p.proname = %(name)s AND p.pronamespace = to_regnamespace(quote_ident(current_schema()))
ORDER BY age(p.xmin), p.oid DESC LIMIT 1

-- languages --
SELECT array_agg(c.cfgname::text) FROM pg_ts_config AS c WHERE pg_ts_config_is_visible(c.oid)

-- set_backfill --
SELECT set_config('pgknowbase.backfill', %(value)s, true)

-- document_content --
--- Of one that may just have been moved to the shards, or back.
SELECT coalesce(d.content, s.content)
FROM pgknowbase_document AS d
LEFT JOIN pgknowbase_read_shard_documents_v1(ARRAY[%(source)s::int], ARRAY[%(id)s::text]) AS s ON true
WHERE d.source = %(source)s AND d.id = %(id)s
