-- What to show of the hits of a search: title and a snippet as HTML, with <mark> around the words of the search text in any of
-- their forms, and everything else escaped. The snippet is the part of the best chunk that has the most of them; of an object
-- without chunks, of the beginning of its text.
--
--   ids, chunk_seqs   external_data_id and chunk_seq of the hits
--   at_most           characters of a snippet, from 50 to 2000, not counting marks
--   synonyms          as in the type pgknowbase_filter; they are marked, too
--
--   SELECT s.title, s.snippet FROM pgknowbase_search_keyword_v1('gears', 10) AS h
--   CROSS JOIN pgknowbase_snippets_v1('gears', ARRAY[h.external_data_id], ARRAY[h.chunk_seq]) AS s;
CREATE OR REPLACE FUNCTION pgknowbase_snippets_v1(
    query text, ids bigint[], chunk_seqs integer[], at_most integer DEFAULT 200, synonyms jsonb DEFAULT NULL)
RETURNS TABLE (external_data_id bigint, title text, snippet text)
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED SECURITY INVOKER ROWS 10 SET search_path FROM CURRENT SET jit = 'off'
SET enable_seqscan = 'off'
AS $pgknowbase$
#variable_conflict use_column
DECLARE
    _words text;
    _prefixes text[];
    _texts CONSTANT text[] := pgknowbase_chunk_texts(ids, chunk_seqs);
BEGIN
    SELECT r.words, r.prefixes INTO _words, _prefixes FROM pgknowbase_read_query(query) AS r;
    RETURN QUERY
    WITH object AS MATERIALIZED (
        SELECT o.id, o.chunk, e.content_type_id, e.object_key
        FROM unnest(ids, _texts) AS o (id, chunk)
        CROSS JOIN LATERAL (
            SELECT x.content_type_id, x.object_key FROM pgknowbase_externaldata AS x WHERE x.id = o.id OFFSET 0
        ) AS e
        WHERE o.id IS NOT NULL
    ), hit AS MATERIALIZED (
        SELECT e.id, d.title, coalesce(
                substr(f.content, lower(p.span) + 1, upper(p.span) - lower(p.span)), e.chunk, left(f.content, 10000)) AS content, coalesce((
            SELECT l.cfgname::text FROM pg_ts_config AS l
            WHERE l.cfgname = d.language AND pg_ts_config_is_visible(l.oid) LIMIT 1), 'simple') AS language
        FROM object AS e
        CROSS JOIN LATERAL (
            SELECT t.title, t.content, t.language FROM pgknowbase_document AS t
            WHERE t.source = e.content_type_id AND t.id = e.object_key OFFSET 0
        ) AS d
        LEFT JOIN pgknowbase_read_shard_documents_v1(
            (SELECT array_agg(o.content_type_id) FROM object AS o), (SELECT array_agg(o.object_key) FROM object AS o)) AS r
            ON r.source = e.content_type_id AND r.id = e.object_key
        CROSS JOIN LATERAL (SELECT coalesce(d.content, r.content) AS content) AS f
        -- A chunk stands behind the title, which is shown apart.
        LEFT JOIN pgknowbase_space AS s ON s.is_active
        LEFT JOIN LATERAL pgknowbase_chunk_offsets(e.content_type_id, e.object_key, e.chunk, s.template, r.content) AS p ON true
    ), asked AS MATERIALIZED (
        SELECT l.language, coalesce((
            SELECT string_agg(w.word, '|')
            FROM (
                SELECT t.word FROM pgknowbase_query_tokens(l.language, _words) AS t
                UNION ALL SELECT pgknowbase_part_tsquery(l.language, p, false, true) FROM unnest(_prefixes) AS p
                UNION ALL SELECT s.alternatives FROM pgknowbase_synonyms_in(l.language, _words, synonyms) AS s
                WHERE synonyms IS NOT NULL
            ) AS w), '''^''')::tsquery AS words -- no text has it
        FROM (SELECT DISTINCT h.language FROM hit AS h) AS l
    )
    SELECT h.id, pgknowbase_highlight(h.language, h.title, a.words),
        pgknowbase_highlight(h.language, h.content, a.words, least(greatest(at_most, 50), 2000))
    FROM hit AS h JOIN asked AS a ON a.language = h.language;
END
$pgknowbase$;
