-- What share of the words of a search text, as pgknowbase_bm25 reads them, stands in that one of the given documents which
-- has most of them: 1 at most. Few words of a text do if it is in another language than the documents, or says the same in
-- other words. Of a long text no document has a large share, even in its language, so ten of its words are as good as all.
-- NULL where the text has no words that can be told apart, as one of prefixes alone.
--
--   query, filter   see pgknowbase_search_hybrid_v1
--   sources, ids    the documents
--
-- The search text may come from a column of another collation, which the parameters take over, and no index of ours is of that one.
-- requires: pgknowbase_read_query, pgknowbase_read_shard_keywords, pgknowbase_tokenize_query, pgknowbase_add_synonyms
CREATE OR REPLACE FUNCTION pgknowbase_word_coverage(
    query text, filter pgknowbase_filter, sources integer[], ids text[]) RETURNS float8
LANGUAGE sql STABLE PARALLEL SAFE SECURITY INVOKER SET search_path FROM CURRENT
AS $pgknowbase$
    WITH asked AS MATERIALIZED (
        SELECT r.words, jsonb_agg(t) AS terms
        FROM pgknowbase_read_query(query) AS r CROSS JOIN LATERAL pgknowbase_tokenize_query(r.words, filter.sources) AS t
        WHERE r.prefixes IS NULL
        GROUP BY r.words
    ), term AS MATERIALIZED (
        SELECT DISTINCT t.token, t.language, t.word::tsquery AS word
        FROM asked AS a
        CROSS JOIN LATERAL jsonb_to_recordset(CASE
            WHEN filter.synonyms IS NULL THEN a.terms ELSE pgknowbase_add_synonyms(a.terms, a.words, filter.synonyms)
        END) AS t (token bigint, language text, word text)
    ), of_shards AS MATERIALIZED (
        SELECT s.* FROM pgknowbase_read_shard_keywords(sources => sources, ids => ids) AS s
        WHERE to_regclass('pgknowbase_shard_keywords') IS NOT NULL
    )
    SELECT max(d.share)
    FROM (
        SELECT least(1, count(*) FILTER (WHERE k.words @@ t.word) / least(count(*), 10)::float8) AS share
        FROM unnest(sources, ids) AS i (source, id)
        CROSS JOIN LATERAL (
            SELECT w.language, w.words || ''::tsvector AS words FROM pgknowbase_keywords AS w
            WHERE w.source = i.source AND w.id = i.id COLLATE "default" AND to_regclass('pgknowbase_shard_keywords') IS NULL
            UNION ALL
            SELECT s.language, s.words FROM of_shards AS s WHERE s.source = i.source AND s.id = i.id
            OFFSET 0
        ) AS k
        JOIN term AS t ON t.language = k.language
        GROUP BY i.source, i.id
    ) AS d;
$pgknowbase$;
