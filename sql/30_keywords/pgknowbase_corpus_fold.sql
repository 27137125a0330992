-- Adds up the rows of pgknowbase_corpus that nobody else is adding up.
CREATE OR REPLACE FUNCTION pgknowbase_corpus_fold() RETURNS void
LANGUAGE sql VOLATILE PARALLEL UNSAFE SECURITY INVOKER SET search_path FROM CURRENT
AS $pgknowbase$
    WITH taken AS (
        DELETE FROM pgknowbase_corpus
        WHERE ctid = ANY (ARRAY(SELECT c.ctid FROM pgknowbase_corpus AS c FOR UPDATE SKIP LOCKED))
        RETURNING source, language, maker, documents, words
    )
    INSERT INTO pgknowbase_corpus (source, language, maker, documents, words)
    SELECT t.source, t.language, t.maker, sum(t.documents), sum(t.words) FROM taken AS t
    GROUP BY t.source, t.language, t.maker HAVING sum(t.documents) <> 0
$pgknowbase$;
