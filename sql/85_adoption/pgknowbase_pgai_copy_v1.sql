-- Copies vectors of a pgai vectorizer into the store of a space, as chunks of documents that are locked. Returns those that
-- were copied: pgai's worker may have written others meanwhile.
-- rows: as in pgknowbase_pgai_chunks_v1. ids, places, olds, versions, news, chunks: for each chunk its document, the place of
-- the row in rows, chunk_seq and version there, chunk_seq here, and its text.
CREATE OR REPLACE FUNCTION pgknowbase_pgai_copy_v1(
    vectorizer integer, space bigint, source_id integer, rows jsonb,
    ids text[], places integer[], olds integer[], versions text[], news integer[], chunks text[])
RETURNS TABLE (id text, chunk_seq integer)
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER SET search_path FROM CURRENT SET enable_seqscan = off
SET jit = off
AS $pgknowbase$
DECLARE
    _vectorizer record;
    _destination jsonb;
    _space pgknowbase_space;
    _table text;
    _embedding text := 'embedding';
    _place text := 's.chunk_seq = w.old';
BEGIN
    SELECT v.* INTO STRICT _vectorizer FROM ai.vectorizer AS v WHERE v.id = vectorizer;
    SELECT s.* INTO STRICT _space FROM pgknowbase_space AS s WHERE s.id = space;
    _destination := _vectorizer.config -> 'destination';
    IF _destination ->> 'implementation' = 'table' THEN
        _table := format('%I.%I', _destination ->> 'target_schema', _destination ->> 'target_table');
    ELSE
        _table := format('%I.%I', _vectorizer.source_schema, _vectorizer.source_table);
        _embedding := _destination ->> 'embedding_column';
        _place := 'true';
    END IF;
    RETURN QUERY EXECUTE format($sql$
        INSERT INTO %1$I.%2$I (source, id, chunk_seq, chunk, embedding)
        SELECT $1, w.id, w.new, w.chunk, t.embedding::%3$s
        FROM jsonb_populate_recordset(NULL::%4$s, $2) WITH ORDINALITY AS k
        JOIN unnest($3, $4, $5, $6, $7, $8) AS w (id, place, old, version, new, chunk) ON w.place = k.ordinality
        CROSS JOIN LATERAL (
            SELECT s.%5$I AS embedding FROM %4$s AS s
            WHERE %6$s AND %7$s AND concat(s.ctid, s.xmin) = w.version OFFSET 0
        ) AS t
        RETURNING id, chunk_seq
        $sql$, _space.store_schema, _space.store_table, _space.storage, _table, _embedding,
        pgknowbase_pgai_join(_vectorizer.source_pk, 's', 'k'), _place)
    USING source_id, rows, ids, places, olds, versions, news, chunks;
END
$pgknowbase$;
