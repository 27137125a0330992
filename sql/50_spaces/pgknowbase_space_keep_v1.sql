-- Keeps the vectors of a space that is about to be dropped, one for each text, so that a space of the same embedder is
-- filled without a call. Returns how many; none where vectors of several embedders are in the store.
-- max_vectors: the most that are kept of all spaces; the oldest go first, and of this one those beyond it.
-- A key is the sha256 of mode, fingerprint and text, as Python computes it.
CREATE OR REPLACE FUNCTION pgknowbase_space_keep_v1(space bigint, max_vectors integer) RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER SET search_path FROM CURRENT
AS $pgknowbase$
DECLARE
    _space pgknowbase_space;
    _head bytea;
    _kept bigint;
    _chunk record;
BEGIN
    SELECT s.* INTO STRICT _space FROM pgknowbase_space AS s WHERE s.id = space;
    IF _space.fingerprint IN ('', 'mixed') THEN
        RETURN 0;
    END IF;
    _head := convert_to(CASE _space.storage WHEN 'halfvec' THEN 'document halfvec' ELSE 'document' END, 'UTF8')
        || '\x00'::bytea || convert_to(_space.fingerprint, 'UTF8') || '\x00'::bytea;
    IF _space.distributed THEN
        SET LOCAL citus.multi_shard_modify_mode = 'sequential'; -- else nothing can be dropped in this transaction any more
        -- One after the other: Citus writes no local table from a distributed one beside the ids that it returns.
        FOR _chunk IN EXECUTE format(
            'SELECT DISTINCT ON (s.chunk) s.chunk, vector_send(s.embedding::vector) AS vector, s.tokens
             FROM %I.%I AS s WHERE s.reusable ORDER BY s.chunk LIMIT $1', _space.store_schema, _space.store_table) USING max_vectors
        LOOP
            INSERT INTO pgknowbase_kept_vector AS k (key, model, vector, tokens)
            VALUES (sha256(_head || convert_to(_chunk.chunk, 'UTF8')), _space.model, _chunk.vector, _chunk.tokens)
            ON CONFLICT (key) DO NOTHING;
            _kept := coalesce(_kept, 0) + FOUND::integer;
        END LOOP;
        DELETE FROM pgknowbase_kept_vector WHERE id <= (SELECT max(k.id) FROM pgknowbase_kept_vector AS k) - max_vectors;
        RETURN coalesce(_kept, 0);
    END IF;
    EXECUTE format($sql$
        WITH added AS (
            INSERT INTO pgknowbase_kept_vector (key, model, vector, tokens)
            SELECT sha256($1 || convert_to(c.chunk, 'UTF8')), $2, vector_send(c.embedding::vector), c.tokens
            FROM %1$I.%2$I AS c
            WHERE c.embedding_uuid = ANY (ARRAY(
                SELECT (array_agg(s.embedding_uuid))[1] FROM %1$I.%2$I AS s
                WHERE s.reusable GROUP BY s.chunk LIMIT $3))
            ON CONFLICT (key) DO NOTHING
            RETURNING id
        ), dropped AS (
            DELETE FROM pgknowbase_kept_vector WHERE id <= (SELECT max(id) FROM added) - $3
        )
        SELECT count(*) FROM added
        $sql$, _space.store_schema, _space.store_table)
    INTO _kept USING _head, _space.model, max_vectors;
    RETURN _kept;
END
$pgknowbase$;
