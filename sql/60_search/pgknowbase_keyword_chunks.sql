-- Of each of these objects the chunk that has most of a search text's words (pgknowbase_read_query), of its first most_chunks
-- chunks; place is that of the object in of_sources and of_keys, and one without chunks has no row.
-- The search text may come from a column of another collation, which the parameters take over, and no index of ours is of
-- that one.
CREATE OR REPLACE FUNCTION pgknowbase_keyword_chunks(
    query text, prefixes text[], of_sources integer[], of_keys text[], most_chunks bigint, synonyms jsonb DEFAULT NULL)
RETURNS TABLE (place bigint, chunk_seq integer, chunk text)
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED SECURITY INVOKER ROWS 10 SET search_path FROM CURRENT SET jit = 'off'
SET enable_seqscan = 'off'
AS $pgknowbase$
#variable_conflict use_column
DECLARE
    _store CONSTANT text := (
        SELECT format('%I.%I', s.store_schema, s.store_table) FROM pgknowbase_space AS s WHERE s.is_active AND s.distributed);
    _places bigint[];
    _seqs integer[];
    _chunks text[];
BEGIN
    IF _store IS NULL THEN
        SELECT array_agg(o.place), array_agg(c.chunk_seq), array_agg(c.chunk) INTO _places, _seqs, _chunks
        FROM unnest(of_sources, of_keys) WITH ORDINALITY AS o (source, key, place)
        CROSS JOIN LATERAL (
            SELECT k.chunk_seq, k.chunk FROM pgknowbase_chunk AS k
            WHERE k.source = o.source AND k.id = o.key COLLATE "default" ORDER BY k.chunk_seq LIMIT most_chunks
        ) AS c;
    ELSE
        SELECT array_agg(o.place), array_agg(c.chunk_seq), array_agg(c.chunk) INTO _places, _seqs, _chunks
        FROM unnest(of_sources, of_keys) WITH ORDINALITY AS o (source, key, place)
        JOIN pgknowbase_store_rows(_store, of_sources, of_keys, most_chunks) AS c
            ON c.source = o.source AND c.id = o.key COLLATE "default";
    END IF;
    RETURN QUERY
    WITH piece AS MATERIALIZED (
        SELECT u.*, count(*) OVER (PARTITION BY u.place) AS pieces
        FROM unnest(_places, _seqs, _chunks) AS u (place, chunk_seq, chunk)
    ), document AS MATERIALIZED (
        -- Of one chunk nothing is asked, and reading a long text takes milliseconds.
        SELECT d.place, CASE WHEN pgknowbase_word_maker(k.language) IS NULL THEN 'simple' ELSE k.language END AS language
        FROM (SELECT DISTINCT p.place FROM piece AS p WHERE p.pieces > 1) AS d
        CROSS JOIN LATERAL (
            SELECT w.language FROM pgknowbase_keywords AS w
            WHERE w.source = of_sources[d.place] AND w.id = of_keys[d.place] COLLATE "default" OFFSET 0
        ) AS k
    ), words AS MATERIALIZED (
        SELECT l.language, nullif(concat_ws('|', string_agg(w.word, '|'), CASE WHEN prefixes IS NOT NULL THEN (
                SELECT string_agg(pgknowbase_part_tsquery(l.language, p, false, true), '|') FROM unnest(prefixes) AS p)
            END, CASE WHEN synonyms IS NOT NULL THEN (
                SELECT string_agg(s.alternatives, '|') FROM pgknowbase_synonyms_in(l.language, query, synonyms) AS s)
            END), '')::tsquery AS query
        FROM (SELECT DISTINCT d.language FROM document AS d) AS l
        LEFT JOIN LATERAL pgknowbase_query_tokens(l.language, query) AS w ON true
        GROUP BY l.language
    )
    SELECT DISTINCT ON (p.place) p.place, p.chunk_seq, p.chunk
    FROM piece AS p LEFT JOIN document AS d ON d.place = p.place LEFT JOIN words AS w ON w.language = d.language
    ORDER BY p.place,
        CASE WHEN p.pieces > 1 THEN ts_rank(pgknowbase_tokenize_document_v1(w.language, p.chunk), w.query) END DESC NULLS LAST,
        p.chunk_seq;
END
$pgknowbase$;
