-- Samples the common words anew if a source has grown or shrunk by a fifth since, or is of some size and was never
-- sampled.
CREATE OR REPLACE FUNCTION pgknowbase_word_refresh() RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER SET search_path FROM CURRENT
AS $pgknowbase$
BEGIN
    IF EXISTS (
        SELECT 1 FROM (
            SELECT c.source, sum(c.documents) AS documents FROM pgknowbase_corpus AS c GROUP BY c.source
        ) AS s
        WHERE s.documents > 5000 AND NOT EXISTS (
            SELECT 1 FROM pgknowbase_word AS w
            WHERE w.source = s.source AND s.documents BETWEEN 0.8 * w.documents AND 1.2 * w.documents)
    ) THEN
        PERFORM pgknowbase_word_sample();
    END IF;
END
$pgknowbase$;
