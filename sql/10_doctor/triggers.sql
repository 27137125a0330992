-- Every capture trigger that stands on a table. Those of partitions are clones of their parent's.
SELECT t.tgrelid::regclass::text AS on_table, t.tgname AS name, t.tgenabled::text AS enabled,
    t.tgparentid <> 0 AS is_clone, obj_description(t.oid, 'pg_trigger') AS hash, p.prosrc AS body,
    p.prosecdef AND EXISTS (
        SELECT 1 FROM unnest(p.proconfig) AS s (setting) WHERE starts_with(s.setting, 'search_path=')) AS is_secured
FROM pg_trigger AS t JOIN pg_proc AS p ON p.oid = t.tgfoid
WHERE starts_with(t.tgname, 'pgtrigger_pgknowbase_')
ORDER BY t.tgrelid::regclass::text, t.tgname
