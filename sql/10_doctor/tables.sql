-- pgknowbase's and pgai's tables: size, dead rows, and whether the planner knows anything of them.
SELECT c.oid::regclass::text AS name, pg_relation_size(c.oid) AS bytes, pg_stat_get_live_tuples(c.oid) AS live,
    pg_stat_get_dead_tuples(c.oid) AS dead,
    NOT has_table_privilege(c.oid, 'SELECT')
        OR EXISTS (SELECT 1 FROM pg_stats AS s WHERE s.schemaname = n.nspname AND s.tablename = c.relname) AS has_statistics,
    coalesce((
        SELECT NOT o.option_value::boolean FROM pg_options_to_table(c.reloptions) AS o
        WHERE o.option_name = 'autovacuum_enabled'), false) AS is_left_out
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND (n.nspname = 'ai' OR starts_with(c.relname, 'pgknowbase_') AND pg_table_is_visible(c.oid))
ORDER BY 1
