-- Whether the sums of the corpus of a source are those of its documents. A writer changes both in one transaction, so one
-- snapshot shows them alike.
CREATE OR REPLACE FUNCTION pgknowbase_corpus_state_v1(source_id integer) RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE SECURITY INVOKER SET search_path FROM CURRENT
AS $pgknowbase$
    SELECT NOT EXISTS (
        SELECT 1
        FROM (
            SELECT c.language, c.maker, c.documents, c.words FROM pgknowbase_corpus AS c WHERE c.source = source_id
            UNION ALL
            SELECT k.language, k.maker, -1, -k.length FROM pgknowbase_keywords AS k
            WHERE k.source = source_id AND k.language IS NOT NULL
        ) AS b
        GROUP BY b.language, b.maker HAVING sum(b.documents) <> 0 OR sum(b.words) <> 0)
$pgknowbase$;
