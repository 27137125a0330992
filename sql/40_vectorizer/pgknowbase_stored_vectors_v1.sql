-- Vectors that the chunk stores of any space hold of these texts already, as vector_send writes them (big-endian, after
-- a head of four bytes), one for each text that is found.
-- fingerprint: what decides a vector besides the text, see pgknowbase_space_made_by_v1. storage: of the space that is to
-- take them; a store of vectors takes none that a store of halfvecs has rounded.
-- Example: SELECT * FROM pgknowbase_stored_vectors_v1('...', 'vector', ARRAY['Gears' || E'\n' || 'They turn.']);
-- enable_seqscan: the rows are few and known by key or place; the statistics of a table that fills say otherwise.
-- jit: before Postgres 18 a path switched off counts as a dear one, and what is dear is compiled, 250 ms a statement.
CREATE OR REPLACE FUNCTION pgknowbase_stored_vectors_v1(fingerprint text, storage text, texts text[])
RETURNS TABLE (chunk text, vector bytea, tokens integer)
LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY INVOKER SET search_path FROM CURRENT SET enable_seqscan = off
SET jit = off SET plan_cache_mode = force_custom_plan
AS $pgknowbase$
DECLARE
    _store text;
    _distributed boolean;
BEGIN
    FOR _store, _distributed IN
        SELECT format('%I.%I', s.store_schema, s.store_table), s.distributed FROM pgknowbase_space AS s
        WHERE s.fingerprint = pgknowbase_stored_vectors_v1.fingerprint
            AND (s.storage = 'vector' OR s.storage = pgknowbase_stored_vectors_v1.storage)
        ORDER BY s.is_active DESC, s.id
    LOOP
        IF _distributed THEN
            RETURN QUERY EXECUTE format($sql$
                SELECT DISTINCT ON (s.chunk) s.chunk, vector_send(s.embedding::vector), s.tokens FROM %s AS s
                WHERE hashtextextended(s.chunk, 0) = ANY ($1) AND s.chunk = ANY ($2) AND s.reusable ORDER BY s.chunk
                $sql$, _store)
            USING ARRAY(SELECT hashtextextended(t.chunk, 0) FROM unnest(texts) AS t (chunk)), texts;
            CONTINUE;
        END IF;
        RETURN QUERY EXECUTE format($sql$
            SELECT t.chunk, vector_send(c.embedding), c.tokens
            FROM unnest($1) AS t (chunk)
            CROSS JOIN LATERAL (
                SELECT s.embedding::vector, s.tokens FROM %s AS s
                WHERE hashtextextended(s.chunk, 0) = hashtextextended(t.chunk, 0) AND s.chunk = t.chunk AND s.reusable
                LIMIT 1
            ) AS c
            $sql$, _store) USING texts;
    END LOOP;
END
$pgknowbase$;
