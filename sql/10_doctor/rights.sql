-- What the current role may not do, though searches, the worker or these examinations need it. The parameter names
-- tables of the project that are only read.
WITH home AS (
    SELECT c.relnamespace AS id FROM pg_class AS c
    WHERE c.relname = 'pgknowbase_outbox' AND c.relkind = 'r'
    ORDER BY pg_table_is_visible(c.oid) DESC LIMIT 1
), relation AS (
    SELECT c.oid, n.nspname, c.relname,
        CASE
            WHEN c.relkind = 'v' OR n.nspname = 'ai' AND c.relname !~ '^_' THEN ARRAY['SELECT']
            ELSE ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']
        END AS needed
    FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'v')
        AND (n.oid = (SELECT h.id FROM home AS h) AND c.relname ~ '^pgknowbase_' AND c.relname !~ '^pgknowbase_store_.*_view$'
            OR n.nspname = 'ai' AND (c.relname IN ('vectorizer', 'vectorizer_worker_process', 'pgai_lib_version')
                OR c.relname ~ '^_vectorizer_q_'))
    UNION ALL
    SELECT c.oid, n.nspname, c.relname, ARRAY['SELECT']
    FROM unnest(%s::text[]) AS watched (name)
    JOIN pg_class AS c ON c.relname = watched.name AND c.relkind IN ('r', 'p', 'v', 'f')
    JOIN pg_namespace AS n ON n.oid = c.relnamespace AND n.oid = (SELECT h.id FROM home AS h)
), needed (kind, name, privilege, granted) AS (
    SELECT 'TABLE', quote_ident(r.nspname) || '.' || quote_ident(r.relname), p.privilege, has_table_privilege(r.oid, p.privilege)
    FROM relation AS r CROSS JOIN LATERAL unnest(r.needed) AS p (privilege)
    UNION ALL
    SELECT 'SEQUENCE', quote_ident(n.nspname) || '.' || quote_ident(s.relname), 'USAGE', 
        CASE WHEN s.relkind = 'S' THEN has_sequence_privilege(s.oid, 'USAGE') END
    FROM pg_class AS s
    JOIN pg_namespace AS n ON n.oid = s.relnamespace
    JOIN pg_depend AS d ON d.objid = s.oid AND d.classid = 'pg_class'::regclass AND d.deptype = 'a' -- an identity's needs none
    WHERE s.relkind = 'S' AND d.refobjid IN (SELECT r.oid FROM relation AS r WHERE 'INSERT' = ANY (r.needed))
    UNION ALL
    SELECT 'FUNCTION', quote_ident(n.nspname) || '.' || quote_ident(p.proname) || '(' || pg_get_function_identity_arguments(p.oid) || ')',
        'EXECUTE', has_function_privilege(p.oid, 'EXECUTE')
    FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace
    WHERE p.pronamespace = (SELECT h.id FROM home AS h) AND starts_with(p.proname, 'pgknowbase_')
        AND p.prorettype <> 'trigger'::regtype
    UNION ALL
    SELECT 'SCHEMA', quote_ident(n.nspname), 'USAGE', has_schema_privilege(n.oid, 'USAGE')
    FROM pg_namespace AS n WHERE n.nspname = 'ai' OR n.oid = (SELECT h.id FROM home AS h)
), missing AS (
    SELECT n.kind, n.name, string_agg(n.privilege, ', ' ORDER BY n.privilege DESC) AS privileges
    FROM needed AS n WHERE NOT n.granted GROUP BY n.kind, n.name
)
SELECT m.kind, m.privileges, array_agg(m.name ORDER BY m.name) AS names, quote_ident(current_user) AS role
FROM missing AS m GROUP BY m.kind, m.privileges ORDER BY m.kind = 'SCHEMA' DESC, m.kind, m.privileges
