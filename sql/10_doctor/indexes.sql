-- Indexes of pgknowbase's and pgai's tables that cannot be used, and whether a build of each is under way.
SELECT i.indexrelid::regclass::text AS name, i.indrelid::regclass::text AS on_table,
    c.relname ~ '_cc(new|old)[0-9]*$' AS is_leftover,
    EXISTS (SELECT 1 FROM pg_stat_progress_create_index AS p WHERE p.index_relid = i.indexrelid) AS is_building
FROM pg_index AS i
JOIN pg_class AS c ON c.oid = i.indexrelid
JOIN pg_class AS t ON t.oid = i.indrelid
JOIN pg_namespace AS n ON n.oid = t.relnamespace
WHERE NOT (i.indisvalid AND i.indisready) AND t.relkind <> 'p'
    AND (n.nspname = 'ai' OR starts_with(t.relname, 'pgknowbase_'))
ORDER BY 1
