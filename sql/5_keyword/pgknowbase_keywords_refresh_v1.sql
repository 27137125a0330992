-- Makes the words of up to max_documents stale documents anew, of those that nobody else is at; returns how many. A
-- language that the database does not know counts as 'simple'.
CREATE OR REPLACE FUNCTION pgknowbase_keywords_refresh_v1(max_documents integer) RETURNS integer
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER SET search_path FROM CURRENT SET enable_seqscan = off
SET jit = off
AS $pgknowbase$
DECLARE
    _sources integer[];
    _ids text[];
BEGIN
    -- Now and then, so that nobody has to be asked to. Before anything is locked.
    IF random() < 0.01 THEN
        PERFORM pgknowbase_corpus_fold_v1();
        PERFORM pgknowbase_word_refresh_v1();
    END IF;
    SELECT array_agg(s.source), array_agg(s.id) INTO _sources, _ids
    FROM (
        SELECT k.source, k.id FROM pgknowbase_keywords AS k WHERE k.stale LIMIT max_documents FOR UPDATE SKIP LOCKED
    ) AS s;
    IF _ids IS NULL THEN
        RETURN 0;
    END IF;
    -- With the locks held, so that a change of a document that this does not see marks its words as stale afterwards.
    WITH made AS MATERIALIZED (
        SELECT c.source, c.id, c.language, w.words, c.old_language, c.old_length,
            (SELECT coalesce(sum(cardinality(u.positions)), 0)::int FROM unnest(w.words) AS u) AS length
        FROM (
            SELECT k.source, k.id, k.language AS old_language, k.length AS old_length,
                coalesce(l.cfgname, 'simple') AS language, d.title || E'\n' || d.content AS content
            FROM unnest(_sources, _ids) AS o (source, id)
            JOIN pgknowbase_keywords AS k ON k.source = o.source AND k.id = o.id
            JOIN pgknowbase_document AS d ON d.source = o.source AND d.id = o.id
            LEFT JOIN (SELECT DISTINCT p.cfgname FROM pg_ts_config AS p WHERE pg_ts_config_is_visible(p.oid)) AS l
                ON l.cfgname = d.language
            OFFSET 0
        ) AS c
        CROSS JOIN LATERAL (
            SELECT CASE
                WHEN octet_length(c.content) = length(c.content) AND length(c.content) < 250000
                THEN pgknowbase_plain_words_v1(c.language, c.content)
                ELSE pgknowbase_words_v1(c.language, c.content)
            END AS words OFFSET 0
        ) AS w
    ), average AS MATERIALIZED (
        SELECT n.source, coalesce(
            (SELECT sum(c.words) / nullif(sum(c.documents), 0) FROM pgknowbase_corpus AS c WHERE c.source = n.source),
            n.words) AS words
        FROM (SELECT m.source, avg(m.length) AS words FROM made AS m GROUP BY m.source) AS n
    ), written AS (
        UPDATE pgknowbase_keywords AS k
        SET language = m.language, words = pgknowbase_marked_words_v1(m.words, m.length, a.words), length = m.length,
            stale = false
        FROM made AS m JOIN average AS a ON a.source = m.source
        WHERE k.source = m.source AND k.id = m.id
    )
    INSERT INTO pgknowbase_corpus (source, language, documents, words)
    SELECT c.source, c.language, sum(c.documents), sum(c.words)
    FROM (
        SELECT m.source, m.language, 1 AS documents, m.length AS words FROM made AS m
        UNION ALL SELECT m.source, m.old_language, -1, -m.old_length FROM made AS m WHERE m.old_language IS NOT NULL
    ) AS c
    GROUP BY c.source, c.language HAVING sum(c.documents) <> 0 OR sum(c.words) <> 0;
    RETURN cardinality(_ids);
END
$pgknowbase$;
