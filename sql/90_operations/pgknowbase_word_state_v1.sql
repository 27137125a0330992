-- What is wrong with the words of these objects of a source: 'words without a document', 'no words', or 'words of another
-- text'. Words that are stale, or another maker's, are not looked at: a worker makes them anew.
-- requires: pgknowbase_document_words
CREATE OR REPLACE FUNCTION pgknowbase_word_state_v1(source_id integer, object_keys text[])
RETURNS TABLE (object_key text, fault text)
LANGUAGE sql STABLE PARALLEL SAFE SECURITY INVOKER SET search_path FROM CURRENT
AS $pgknowbase$
    WITH made AS MATERIALIZED (
        SELECT w.* FROM pgknowbase_document_words(array_fill(source_id, ARRAY[cardinality(object_keys)]), object_keys) AS w
    ), compared AS (
        SELECT k.id,
            CASE
                WHEN d.id IS NULL THEN 'words without a document'
                WHEN k.stale OR k.words IS NOT NULL AND k.maker <> m.maker THEN NULL
                WHEN k.words IS NULL THEN 'no words'
                WHEN (k.words, k.length, k.frequent, k.language)
                    IS DISTINCT FROM (m.words, m.length, m.frequent, m.language)
                THEN 'words of another text'
            END AS fault
        FROM unnest(object_keys) AS o (id)
        JOIN pgknowbase_keywords AS k ON k.source = source_id AND k.id = o.id
        LEFT JOIN pgknowbase_document AS d ON d.source = source_id AND d.id = o.id
        LEFT JOIN made AS m ON m.id = o.id
    )
    SELECT c.id, c.fault FROM compared AS c WHERE c.fault IS NOT NULL ORDER BY c.id
$pgknowbase$;
