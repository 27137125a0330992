-- The texts of the chunks of hits, given by external_data_id and chunk_seq, in the same order; NULL where there is no chunk.
CREATE OR REPLACE FUNCTION pgknowbase_chunk_texts(ids bigint[], chunk_seqs integer[]) RETURNS text[]
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED SECURITY INVOKER SET search_path FROM CURRENT SET jit = 'off'
SET enable_seqscan = 'off'
AS $pgknowbase$
DECLARE
    _store CONSTANT text := (
        SELECT format('%I.%I', s.store_schema, s.store_table) FROM pgknowbase_space AS s WHERE s.is_active AND s.distributed);
    _sources integer[];
    _keys text[];
BEGIN
    IF _store IS NULL THEN
        RETURN ARRAY(
            SELECT c.chunk
            FROM unnest(ids, chunk_seqs) WITH ORDINALITY AS o (id, seq, place)
            LEFT JOIN LATERAL (
                SELECT k.chunk
                FROM pgknowbase_externaldata AS x
                JOIN pgknowbase_chunk AS k ON k.source = x.content_type_id AND k.id = x.object_key AND k.chunk_seq = o.seq
                WHERE x.id = o.id OFFSET 0
            ) AS c ON true
            ORDER BY o.place);
    END IF;
    SELECT array_agg(x.content_type_id ORDER BY o.place), array_agg(x.object_key ORDER BY o.place) INTO _sources, _keys
    FROM unnest(ids) WITH ORDINALITY AS o (id, place) LEFT JOIN pgknowbase_externaldata AS x ON x.id = o.id;
    RETURN ARRAY(
        SELECT r.chunk
        FROM unnest(_sources, _keys, chunk_seqs) WITH ORDINALITY AS o (source, key, seq, place)
        LEFT JOIN pgknowbase_store_rows(_store, _sources, _keys) AS r
            ON r.source = o.source AND r.id = o.key AND r.chunk_seq = o.seq
        ORDER BY o.place);
END
$pgknowbase$;
