-- Looks at about so many documents, unless another session does, and notes anew which words are common: those that
-- at least so many documents of a source have.
CREATE OR REPLACE FUNCTION pgknowbase_word_sample(sampled integer DEFAULT 20000, common integer DEFAULT 1000)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER SET search_path FROM CURRENT SET jit = off
SET max_parallel_workers_per_gather = 0
AS $pgknowbase$
DECLARE
    _percent float4;
BEGIN
    IF NOT pg_try_advisory_xact_lock(hashtextextended('pgknowbase_word', 0)) THEN
        RETURN;
    END IF;
    SELECT least(100, 100.0 * sampled / greatest(sum(c.documents), 1)) INTO _percent FROM pgknowbase_corpus AS c;
    DELETE FROM pgknowbase_word;
    INSERT INTO pgknowbase_word (source, word, level, documents, present)
    WITH drawn AS MATERIALIZED (
        SELECT k.source, k.words FROM pgknowbase_keywords AS k TABLESAMPLE SYSTEM (_percent) WHERE k.words IS NOT NULL
    ), size AS (
        SELECT c.source, c.documents, d.documents AS drawn
        FROM (
            SELECT o.source, sum(o.documents) AS documents FROM pgknowbase_corpus AS o
            GROUP BY o.source HAVING sum(o.documents) >= common
        ) AS c
        JOIN (SELECT w.source, count(*) AS documents FROM drawn AS w GROUP BY w.source) AS d ON d.source = c.source
    ), counted AS (
        SELECT d.source, u.lexeme, count(*) AS times
        FROM drawn AS d CROSS JOIN LATERAL unnest(tsvector_to_array(d.words)) AS u (lexeme)
        WHERE u.lexeme <> '^0' GROUP BY d.source, u.lexeme
    ), read AS (
        SELECT c.source, s.documents, round(c.times * s.documents / s.drawn) AS present,
            CASE WHEN c.lexeme LIKE '^%' THEN substr(c.lexeme, 3) ELSE c.lexeme END AS lexeme,
            CASE WHEN c.lexeme LIKE '^%' THEN substr(c.lexeme, 2, 1)::smallint ELSE 0 END AS level
        FROM counted AS c JOIN size AS s ON s.source = c.source
    )
    SELECT r.source, quote_literal(r.lexeme), r.level, r.documents, r.present
    FROM (
        -- A window, because nobody can tell the planner how many words there are, and a join might compare them all.
        SELECT w.*, max(w.present) FILTER (WHERE w.level = 0) OVER (PARTITION BY w.source, w.lexeme) AS of_word
        FROM read AS w
    ) AS r
    WHERE r.of_word >= common;
END
$pgknowbase$;
