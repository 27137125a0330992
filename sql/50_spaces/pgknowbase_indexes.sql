-- The vector indexes of the chunk stores: of which space, over which source model (NULL: all), whether it can be used,
-- what it is made on, its parameters and its size. One that is not valid is what an interrupted build has left.
-- one_per_vector: it leaves copies out, see pgknowbase_mark_copy.
-- Of a distributed store the bytes of an index are those on the coordinator: none.
-- requires: pgknowbase_store_bytes_v1
CREATE OR REPLACE VIEW pgknowbase_indexes WITH (security_invoker = true) AS
SELECT s.id AS space_id, s.name AS space, n.nspname AS schema, c.relname AS name,
    substring(pg_get_expr(i.indpred, i.indrelid) FROM 'source = ([0-9]+)')::integer AS source,
    i.indisvalid AND i.indisready AS valid, CASE t.typname WHEN 'bit' THEN 'binary' ELSE t.typname END AS kind,
    k.atttypmod AS dimensions, coalesce(pg_get_expr(i.indpred, i.indrelid) ~ 'NOT is_copy', false) AS one_per_vector,
    coalesce(c.reloptions, '{}') AS options, pg_relation_size(c.oid) AS bytes,
    pgknowbase_store_bytes_v1(s) AS store_bytes
FROM pgknowbase_space AS s
JOIN pg_index AS i ON i.indrelid = to_regclass(format('%I.%I', s.store_schema, s.store_table))
JOIN pg_class AS c ON c.oid = i.indexrelid
JOIN pg_namespace AS n ON n.oid = c.relnamespace
JOIN pg_am AS a ON a.oid = c.relam
JOIN pg_attribute AS k ON k.attrelid = c.oid AND k.attnum = 1
JOIN pg_type AS t ON t.oid = k.atttypid
WHERE a.amname = 'hnsw';
