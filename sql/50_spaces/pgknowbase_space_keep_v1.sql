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
BEGIN
    SELECT s.* INTO STRICT _space FROM pgknowbase_space AS s WHERE s.id = space;
    IF _space.fingerprint IN ('', 'mixed') THEN
        RETURN 0;
    END IF;
    _head := convert_to(CASE _space.storage WHEN 'halfvec' THEN 'document halfvec' ELSE 'document' END, 'UTF8')
        || '\x00'::bytea || convert_to(_space.fingerprint, 'UTF8') || '\x00'::bytea;
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
