-- Looks at about so many documents, unless another session does, and notes anew which words are common: those that
-- at least so many documents of a source have; and which words pgknowbase_postings shall have: those of about so many
-- documents, in a corpus of more than 400 times as many those of one document in 400. These stay until they are far below,
-- and keep their weight until it is far from the truth, so that blocks seldom have to be made anew.
CREATE OR REPLACE FUNCTION pgknowbase_word_sample(sampled integer DEFAULT 20000, common integer DEFAULT 1000)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER SET search_path FROM CURRENT SET jit = off
SET max_parallel_workers_per_gather = 0
AS $pgknowbase$
DECLARE
    _is_distributed CONSTANT boolean := to_regclass('pgknowbase_shard_keywords') IS NOT NULL;
    _percent float4;
    _sample CONSTANT integer := 1 + coalesce((SELECT max(w.sample) FROM pgknowbase_postings_word AS w), 0);
BEGIN
    IF NOT pg_try_advisory_xact_lock(hashtextextended('pgknowbase_word', 0)) THEN
        RETURN;
    END IF;
    SELECT least(100, 100.0 * sampled / greatest(sum(c.documents), 1)) INTO _percent FROM pgknowbase_corpus AS c;
    DELETE FROM pgknowbase_word;
    WITH drawn AS MATERIALIZED (
        SELECT k.source, k.words FROM pgknowbase_keywords AS k TABLESAMPLE SYSTEM (_percent) 
        WHERE NOT _is_distributed AND k.words IS NOT NULL
        UNION ALL
        SELECT s.source, s.words FROM pgknowbase_read_shard_keywords(sampled => _percent) AS s WHERE _is_distributed
    ), size AS MATERIALIZED (
        SELECT w.source, count(*) AS drawn, (
            SELECT sum(o.documents) FROM pgknowbase_corpus AS o WHERE o.source = w.source) AS documents
        FROM drawn AS w GROUP BY w.source
    ), counted AS MATERIALIZED (
        SELECT d.source, u.lexeme, count(*) AS times
        FROM drawn AS d CROSS JOIN LATERAL unnest(tsvector_to_array(d.words)) AS u (lexeme)
        WHERE u.lexeme NOT LIKE '^%' GROUP BY d.source, u.lexeme
    ), known AS (
        INSERT INTO pgknowbase_word (source, word, documents, present)
        SELECT c.source, quote_literal(c.lexeme), s.documents, round(c.times * s.documents / s.drawn)
        FROM counted AS c JOIN size AS s ON s.source = c.source
        WHERE s.documents >= common AND round(c.times * s.documents / s.drawn) >= common
    ), posted AS (
        SELECT c.lexeme, sum(c.times) / n.drawn / n.least AS share, ln(n.drawn / sum(c.times)) AS weight
        FROM counted AS c
        CROSS JOIN (
            -- The bound moves when the corpus has doubled.
            SELECT sum(s.drawn) AS drawn, greatest(0.0025, common / 2 ^ floor(log(2, sum(s.documents)))) AS least FROM size AS s
        ) AS n
        GROUP BY c.lexeme, n.drawn, n.least HAVING sum(c.times) >= 0.6 * n.least * n.drawn
    ), gone AS (
        DELETE FROM pgknowbase_postings_word AS w
        WHERE NOT EXISTS (SELECT 1 FROM posted AS p WHERE p.lexeme = w.word)
    )
    INSERT INTO pgknowbase_postings_word AS w (word, weight, sample)
    SELECT p.lexeme, p.weight, _sample FROM posted AS p
    WHERE p.share >= 1 OR EXISTS (SELECT 1 FROM pgknowbase_postings_word AS o WHERE o.word = p.lexeme)
    ON CONFLICT (word) DO UPDATE SET weight = excluded.weight, sample = excluded.sample
    WHERE abs(excluded.weight - w.weight) > 0.2 * w.weight + 0.05;
END
$pgknowbase$;
