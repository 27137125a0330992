-- Statements that Python runs; core/queries.sql says how they are written.

-- installed_trigger --
-- Where a trigger stands, its definition, its comment and whether it fires. Those of partitions come and go with it.
SELECT t.tgrelid::regclass::text, pg_get_triggerdef(t.oid), obj_description(t.oid, 'pg_trigger'), t.tgenabled::text
FROM pg_trigger AS t
WHERE t.tgname = %(name)s AND t.tgparentid = 0 AND pg_table_is_visible(t.tgrelid)

-- source_declare --
SELECT pgknowbase_source_declare_v1(%(label)s, %(paths)s::text[])

-- migrated_sources --
SELECT source, paths FROM pgknowbase_source WHERE paths IS NOT NULL

-- table_exists --
SELECT to_regclass(%(table)s) IS NOT NULL

-- missing_columns --
-- Which of these columns their tables do not have; tables as Postgres identifiers.
SELECT n.on_table || '.' || n.name
FROM unnest(%(tables)s::text[], %(columns)s::text[]) AS n (on_table, name)
WHERE NOT EXISTS (
    SELECT FROM pg_attribute AS a
    WHERE a.attrelid = to_regclass(n.on_table) AND a.attname = n.name AND NOT a.attisdropped
)

-- source_remove --
SELECT pgknowbase_source_remove_v1(%(label)s)

-- source_rename --
SELECT pgknowbase_source_rename_v1(%(old_label)s, %(new_label)s)
