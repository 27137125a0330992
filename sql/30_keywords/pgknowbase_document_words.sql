-- The words of documents; see the columns of pgknowbase_keywords. A language that the database does not know counts as 'simple'.
-- A key without a document has no row, nor one whose text is on its way to its shard. Words of the title have the weight A. '^0'
-- marks words whose places are made up (pgknowbase_count_words), so that they tell no phrase.
-- requires: pgknowbase_count_words, pgknowbase_tokenize_ascii, pgknowbase_tokenize_document_v1, pgknowbase_word_maker, pgknowbase_read_shard_documents_v1
CREATE OR REPLACE FUNCTION pgknowbase_document_words(sources integer[], ids text[])
RETURNS TABLE (source integer, id text, language text, maker text, words tsvector, frequent jsonb, length integer)
LANGUAGE sql STABLE PARALLEL RESTRICTED SECURITY INVOKER SET search_path FROM CURRENT SET enable_seqscan = off SET jit = off
AS $pgknowbase$
    WITH spoken AS MATERIALIZED (
        SELECT p.cfgname AS language, pgknowbase_word_maker(p.cfgname) AS maker
        FROM (SELECT DISTINCT c.cfgname FROM pg_ts_config AS c WHERE pg_ts_config_is_visible(c.oid)) AS p
        WHERE p.cfgname = 'simple' OR p.cfgname IN (
            SELECT d.language FROM unnest(sources, ids) AS o (source, id)
            CROSS JOIN LATERAL (
                SELECT t.language FROM pgknowbase_document AS t WHERE t.source = o.source AND t.id = o.id OFFSET 0
            ) AS d)
    )
    SELECT c.source, c.id, c.language, c.maker,
        coalesce(setweight(r.words, 'A', tsvector_to_array(t.words)) || '^0'::tsvector, w.words), r.frequent,
        CASE WHEN l.is_plain THEN l.length ELSE coalesce(r.length, n.length) END
    FROM (
        SELECT o.source, o.id, l.language, l.maker, d.title, coalesce(d.content, s.content) AS content
        FROM unnest(sources, ids) AS o (source, id)
        CROSS JOIN LATERAL (
            SELECT t.title, t.content, t.digest, t.language FROM pgknowbase_document AS t
            WHERE t.source = o.source AND t.id = o.id OFFSET 0
        ) AS d
        LEFT JOIN pgknowbase_read_shard_documents_v1(sources, ids) AS s
            ON s.source = o.source AND s.id = o.id AND s.digest = d.digest
        JOIN spoken AS l ON l.language = CASE
            WHEN d.language IN (SELECT s.language FROM spoken AS s) THEN d.language ELSE 'simple' END
        WHERE coalesce(d.content, s.content) IS NOT NULL
        OFFSET 0
    ) AS c
    CROSS JOIN LATERAL (
        SELECT CASE
            WHEN octet_length(c.title) = length(c.title) THEN pgknowbase_tokenize_ascii(c.language, c.title)
            ELSE pgknowbase_tokenize_document_v1(c.language, c.title)
        END AS words OFFSET 0
    ) AS t
    CROSS JOIN LATERAL (
        SELECT CASE
            WHEN length(c.content) >= 250000 THEN NULL
            WHEN octet_length(c.content) = length(c.content)
            THEN setweight(t.words, 'A') || pgknowbase_tokenize_ascii(c.language, c.content)
            ELSE setweight(t.words, 'A') || pgknowbase_tokenize_document_v1(c.language, c.content)
        END AS words OFFSET 0
    ) AS w
    CROSS JOIN LATERAL (
        -- How many places the words have, told by the rank of a word that stands once, with and without division by that
        -- number: a tenth of the work of looking at each word. Then no word stands more than 200 times, nor at place 16,383.
        SELECT p.length, coalesce(p.length - length(w.words) < 200 AND length(c.title) + length(c.content) < 5000, false)
                AS is_plain
        FROM (
            SELECT round(ts_rank(m.words, '''^1''', 0) / ts_rank(m.words, '''^1''', 2))::int - 1 AS length
            FROM (SELECT w.words || '''^1'':1'::tsvector AS words OFFSET 0) AS m
        ) AS p
        OFFSET 0
    ) AS l
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(cardinality(u.positions)), 0)::int AS length,
            w.words IS NULL OR max(cardinality(u.positions)) > 200 OR max(u.positions[cardinality(u.positions)]) >= 16383
                AS is_cut
        FROM unnest(w.words) AS u WHERE NOT l.is_plain
    ) AS n
    LEFT JOIN LATERAL (
        -- Asked in here, or every document's words would be counted and thrown away: six times the work.
        SELECT f.* FROM pgknowbase_count_words(c.language, c.title || E'\n' || c.content) AS f WHERE n.is_cut OFFSET 0
    ) AS r ON true
$pgknowbase$;
