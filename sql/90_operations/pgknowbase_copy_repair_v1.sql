-- Puts a chunk of each hidden vector, as pgknowbase_copy_state_v1 counts them, into the vector index; returns how many.
CREATE OR REPLACE FUNCTION pgknowbase_copy_repair_v1(space bigint, source_id integer DEFAULT NULL) RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER SET search_path FROM CURRENT
SET enable_seqscan = off
SET jit = off
AS $pgknowbase$
DECLARE
    _repaired bigint;
    _space pgknowbase_space;
BEGIN
    SELECT s.* INTO STRICT _space FROM pgknowbase_space AS s WHERE s.id = space;
    IF _space.distributed THEN
        SELECT coalesce(sum(r.result::bigint), 0) INTO _repaired
        FROM run_command_on_shards(format('%I.%I', _space.store_schema, _space.store_table)::regclass, format($sql$
            WITH hidden AS (
                SELECT DISTINCT ON (c.vector_key) c.embedding_uuid FROM %%1$s AS c
                WHERE c.is_copy AND %s AND NOT EXISTS (
                    SELECT 1 FROM %%1$s AS r WHERE r.vector_key = c.vector_key AND NOT r.is_copy)
                ORDER BY c.vector_key
            ), repaired AS (
                UPDATE %%1$s SET is_copy = false WHERE embedding_uuid IN (SELECT h.embedding_uuid FROM hidden AS h) AND is_copy
                RETURNING 1
            )
            SELECT count(*) FROM repaired
            $sql$, coalesce('c.source = ' || source_id, 'true'))) AS r;
        RETURN _repaired;
    END IF;
    EXECUTE (
        SELECT format($sql$
            WITH hidden AS (
                SELECT DISTINCT ON (c.vector_key) c.embedding_uuid FROM %1$I.%2$I AS c
                WHERE c.is_copy AND ($1 IS NULL OR c.source = $1) AND NOT EXISTS (
                    SELECT 1 FROM %1$I.%2$I AS r WHERE r.vector_key = c.vector_key AND NOT r.is_copy)
                ORDER BY c.vector_key
            ), repaired AS (
                UPDATE %1$I.%2$I SET is_copy = false
                WHERE embedding_uuid = ANY (ARRAY(SELECT h.embedding_uuid FROM hidden AS h)) AND is_copy
                RETURNING 1
            )
            SELECT count(*) FROM repaired
            $sql$, s.store_schema, s.store_table)
        FROM pgknowbase_space AS s WHERE s.id = space)
    INTO STRICT _repaired USING source_id;
    RETURN _repaired;
END
$pgknowbase$;
