-- Trigger of a chunk store, after each statement that changes it: the vectors that pgknowbase_beside keeps of the objects
-- concerned are no longer those of the store, and are forgotten. Whoever completes the objects brings them together anew:
-- pgknowbase_store_close_v1, pgknowbase_mark_completed_v1 or pgknowbase_space_recount_v1. Until then searches read the store.
--
-- The external data is locked, even if it has no vectors: who brings them together locks it as well, and then sees what was
-- committed here. In the order of keys, as everywhere.
--
-- enable_seqscan, jit: as in pgknowbase_store_open_v1.
CREATE OR REPLACE FUNCTION pgknowbase_forget_vectors() RETURNS trigger
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER SET search_path FROM CURRENT SET enable_seqscan = off
SET jit = off
AS $pgknowbase$
DECLARE
    _space CONSTANT bigint := (
        SELECT s.id FROM pgknowbase_space AS s WHERE s.store_schema = TG_TABLE_SCHEMA AND s.store_table = TG_TABLE_NAME);
    _sources integer[];
    _keys text[];
    _ids bigint[];
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        UPDATE pgknowbase_externaldata AS e SET vectors = NULL, vectors_space = NULL WHERE e.vectors_space = _space;
        RETURN NULL;
    ELSIF TG_OP = 'INSERT' THEN
        SELECT array_agg(k.source), array_agg(k.id) INTO _sources, _keys
        FROM (SELECT DISTINCT n.source, n.id FROM new_rows AS n ORDER BY 1, 2) AS k;
    ELSIF TG_OP = 'DELETE' THEN
        SELECT array_agg(k.source), array_agg(k.id) INTO _sources, _keys
        FROM (SELECT DISTINCT o.source, o.id FROM old_rows AS o ORDER BY 1, 2) AS k;
    ELSE
        -- A chunk that moves to another place keeps its vector.
        SELECT array_agg(k.source), array_agg(k.id) INTO _sources, _keys
        FROM (
            SELECT c.source, c.id FROM (
                (SELECT n.embedding_uuid, n.source, n.id, n.vector_key FROM new_rows AS n
                EXCEPT SELECT o.embedding_uuid, o.source, o.id, o.vector_key FROM old_rows AS o)
                UNION ALL
                (SELECT o.embedding_uuid, o.source, o.id, o.vector_key FROM old_rows AS o
                EXCEPT SELECT n.embedding_uuid, n.source, n.id, n.vector_key FROM new_rows AS n)
            ) AS c GROUP BY 1, 2 ORDER BY 1, 2
        ) AS k;
    END IF;
    IF _keys IS NULL THEN
        RETURN NULL;
    END IF;
    _ids := ARRAY(
        SELECT x.id FROM unnest(_sources, _keys) AS k (source, id)
        CROSS JOIN LATERAL (
            SELECT e.id FROM pgknowbase_externaldata AS e
            WHERE e.content_type_id = k.source AND e.object_key = k.id OFFSET 0 FOR NO KEY UPDATE
        ) AS x);
    UPDATE pgknowbase_externaldata AS e SET vectors = NULL, vectors_space = NULL
    WHERE e.id = ANY (_ids) AND e.vectors_space = _space;
    RETURN NULL;
END
$pgknowbase$;
