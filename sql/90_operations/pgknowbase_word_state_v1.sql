-- What is wrong with the words of these objects of a source: 'words without a document', 'no words', or 'words of another
-- text'. Words that are stale, or another maker's, are not looked at: a worker makes them anew.
-- requires: pgknowbase_document_words, pgknowbase_read_shard_keywords
CREATE OR REPLACE FUNCTION pgknowbase_word_state_v1(source_id integer, object_keys text[])
RETURNS TABLE (object_key text, fault text)
LANGUAGE sql STABLE PARALLEL RESTRICTED SECURITY INVOKER SET search_path FROM CURRENT
AS $pgknowbase$
    WITH made AS MATERIALIZED (
        SELECT w.* FROM pgknowbase_document_words(array_fill(source_id, ARRAY[cardinality(object_keys)]), object_keys) AS w
    ), known AS (
        SELECT k.id, k.language, k.length, k.maker, k.stale, coalesce(s.words, k.words) AS words,
            coalesce(s.frequent, k.frequent) AS frequent
        FROM pgknowbase_keywords AS k
        LEFT JOIN (
            SELECT r.id, r.words, r.frequent FROM pgknowbase_read_shard_keywords(sources => ARRAY[source_id], ids => object_keys) AS r
        ) AS s ON s.id = k.id
        WHERE k.source = source_id AND k.id = ANY (object_keys)
    ), compared AS (
        SELECT k.id,
            CASE
                WHEN d.id IS NULL THEN 'words without a document'
                WHEN k.stale OR k.words IS NOT NULL AND k.maker <> m.maker THEN NULL
                WHEN d.digest IS NOT NULL AND m.id IS NULL THEN NULL -- its text is lost, or not there yet
                WHEN k.words IS NULL THEN 'no words'
                WHEN (k.words, k.length, k.frequent, k.language)
                    IS DISTINCT FROM (m.words, m.length, m.frequent, m.language)
                THEN 'words of another text'
            END AS fault
        FROM unnest(object_keys) AS o (id)
        JOIN known AS k ON k.id = o.id
        LEFT JOIN pgknowbase_document AS d ON d.source = source_id AND d.id = o.id
        LEFT JOIN made AS m ON m.id = o.id
    )
    SELECT c.id, c.fault FROM compared AS c WHERE c.fault IS NOT NULL ORDER BY c.id
$pgknowbase$;
