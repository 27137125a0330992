-- What a pgai vectorizer has stored of some rows, but for vectors of zeros, which are never nearest to anything. One line
-- for each row at least.
-- rows: a JSON array of objects with the primary keys. place: which of them, from 1. waiting: whether it is in the queue.
-- chunk: the text that was embedded. Embeddings in a column of the source table have none; columns has those of the row.
-- version: which version of the row that holds the vector this is.
CREATE OR REPLACE FUNCTION pgknowbase_pgai_chunks_v1(vectorizer integer, rows jsonb)
RETURNS TABLE (place integer, waiting boolean, chunk_seq integer, chunk text, columns jsonb, version text)
LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY INVOKER SET search_path FROM CURRENT SET enable_seqscan = off
SET jit = off
AS $pgknowbase$
DECLARE
    _vectorizer record;
    _destination jsonb;
    _table text;
    _queue text;
BEGIN
    SELECT v.* INTO STRICT _vectorizer FROM ai.vectorizer AS v WHERE v.id = vectorizer;
    _destination := _vectorizer.config -> 'destination';
    _queue := format('EXISTS (SELECT 1 FROM %I.%I AS q WHERE %s)',
        _vectorizer.queue_schema, _vectorizer.queue_table, pgknowbase_pgai_join(_vectorizer.source_pk, 'q', 'k'));
    IF _destination ->> 'implementation' = 'table' THEN
        _table := format('%I.%I', _destination ->> 'target_schema', _destination ->> 'target_table');
        RETURN QUERY EXECUTE format($sql$
            SELECT k.ordinality::integer, %3$s, t.chunk_seq, t.chunk, NULL::jsonb, t.version
            FROM jsonb_populate_recordset(NULL::%1$s, $1) WITH ORDINALITY AS k
            LEFT JOIN LATERAL (
                SELECT s.chunk_seq, s.chunk, concat(s.ctid, s.xmin) AS version FROM %1$s AS s
                WHERE %2$s AND vector_norm(s.embedding) > 0 OFFSET 0
            ) AS t ON true
            $sql$, _table, pgknowbase_pgai_join(_vectorizer.source_pk, 's', 'k'), _queue) USING rows;
    ELSE
        _table := format('%I.%I', _vectorizer.source_schema, _vectorizer.source_table);
        RETURN QUERY EXECUTE format($sql$
            SELECT k.ordinality::integer, %3$s, t.chunk_seq, NULL::text, t.columns, t.version
            FROM jsonb_populate_recordset(NULL::%1$s, $1) WITH ORDINALITY AS k
            LEFT JOIN LATERAL (
                SELECT 0 AS chunk_seq, to_jsonb(s) - %4$L AS columns, concat(s.ctid, s.xmin) AS version FROM %1$s AS s
                WHERE %2$s AND vector_norm(s.%4$I) > 0 OFFSET 0
            ) AS t ON true
            $sql$, _table, pgknowbase_pgai_join(_vectorizer.source_pk, 's', 'k'), _queue,
            _destination ->> 'embedding_column') USING rows;
    END IF;
END
$pgknowbase$;
