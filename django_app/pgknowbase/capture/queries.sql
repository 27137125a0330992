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

-- trace_changes --
SELECT pgknowbase_trace_changes_v1(%(enabled)s)

-- set_traceparent --
SELECT set_config('pgknowbase.traceparent', %(traceparent)s, true)

-- traces_of_events --
SELECT o.source, o.path, o.object_keys, o.traceparent FROM pgknowbase_outbox AS o
WHERE o.id = ANY (%(ids)s::bigint[]) AND o.traceparent IS NOT NULL ORDER BY o.id

-- keep_traces --
-- Only of objects that wait for the vectorizer: what has not changed is not embedded.
INSERT INTO pgknowbase_trace AS t (source, object_key, traceparent)
SELECT k.source, k.object_key, k.traceparent
FROM unnest(%(sources)s::integer[], %(object_keys)s::text[], %(traceparents)s::text[])
    AS k (source, object_key, traceparent)
JOIN pgknowbase_externaldata AS e ON e.content_type_id = k.source AND e.object_key = k.object_key
WHERE e.status IN ('pending', 'processing')
ORDER BY k.source, k.object_key
ON CONFLICT (source, object_key) DO UPDATE SET traceparent = excluded.traceparent
RETURNING 1

-- take_traces --
WITH taken AS (
    DELETE FROM pgknowbase_trace AS t
    USING unnest(%(sources)s::integer[], %(object_keys)s::text[]) AS k (source, object_key)
    WHERE t.source = k.source AND t.object_key = k.object_key RETURNING t.traceparent)
SELECT DISTINCT traceparent FROM taken

-- traces_of_reaction_events --
SELECT e.id, e.traceparent FROM pgknowbase_reaction_event AS e
WHERE e.id = ANY (%(ids)s::bigint[]) AND e.traceparent IS NOT NULL

-- set_delivery_traces --
UPDATE pgknowbase_delivery AS d SET traceparent = k.traceparent
FROM unnest(%(reactions)s::text[], %(object_keys)s::text[], %(traceparents)s::text[])
    AS k (reaction, object_key, traceparent)
WHERE d.state = 'pending' AND d.reaction = k.reaction AND d.object_key = k.object_key
RETURNING 1

-- trace_of_delivery --
SELECT d.traceparent FROM pgknowbase_delivery AS d WHERE d.id = %(delivery)s AND d.traceparent IS NOT NULL
