-- Trigger after INSERT or UPDATE of documents: their words anew.
CREATE OR REPLACE FUNCTION pgknowbase_keywords_write_v1() RETURNS trigger
LANGUAGE plpgsql VOLATILE SECURITY INVOKER SET search_path FROM CURRENT SET enable_seqscan = off SET jit = off
AS $pgknowbase$
BEGIN
    WITH made AS MATERIALIZED (
        SELECT c.source, c.id, c.language, w.words,
            (SELECT coalesce(sum(cardinality(u.positions)), 0)::int FROM unnest(w.words) AS u) AS length
        FROM (SELECT d.source, d.id, d.language, d.title || E'\n' || d.content AS content FROM changed AS d OFFSET 0) AS c
        CROSS JOIN LATERAL (
            SELECT CASE
                WHEN octet_length(c.content) = length(c.content) AND length(c.content) < 250000
                THEN pgknowbase_plain_words_v1(c.language, c.content)
                ELSE pgknowbase_words_v1(c.language, c.content)
            END AS words OFFSET 0
        ) AS w
    ), known AS MATERIALIZED (
        SELECT k.source, k.id, k.language, k.length
        FROM pgknowbase_keywords AS k JOIN made AS m ON k.source = m.source AND k.id = m.id
    ), written AS (
        INSERT INTO pgknowbase_keywords AS k (source, id, language, words, length)
        SELECT m.source, m.id, m.language, m.words, m.length FROM made AS m
        ON CONFLICT (source, id) DO UPDATE
        SET language = excluded.language, words = excluded.words, length = excluded.length
    )
    INSERT INTO pgknowbase_corpus (source, language, documents, words)
    SELECT d.source, d.language, sum(d.documents), sum(d.words)
    FROM (
        SELECT m.source, m.language, 1 AS documents, m.length AS words FROM made AS m
        UNION ALL SELECT n.source, n.language, -1, -n.length FROM known AS n
    ) AS d
    GROUP BY d.source, d.language HAVING sum(d.documents) <> 0 OR sum(d.words) <> 0;
    -- Now and then, so that nobody has to be asked to.
    IF random() < 0.01 THEN
        PERFORM pgknowbase_corpus_fold_v1();
    END IF;
    RETURN NULL;
END
$pgknowbase$;
