-- Marks the words of these documents of a source as stale, for a worker to make anew, and deletes those without a document.
CREATE OR REPLACE FUNCTION pgknowbase_word_repair_v1(source_id integer, object_keys text[]) RETURNS void
LANGUAGE sql VOLATILE PARALLEL UNSAFE SECURITY INVOKER SET search_path FROM CURRENT
AS $pgknowbase$
    WITH stray AS (
        DELETE FROM pgknowbase_keywords AS k
        WHERE k.source = source_id AND k.id = ANY (object_keys)
            AND NOT EXISTS (SELECT 1 FROM pgknowbase_document AS d WHERE d.source = k.source AND d.id = k.id)
        RETURNING k.language, k.maker, k.length
    )
    INSERT INTO pgknowbase_corpus (source, language, maker, documents, words)
    SELECT source_id, s.language, s.maker, -count(*), -sum(s.length) FROM stray AS s
    WHERE s.language IS NOT NULL GROUP BY s.language, s.maker;
    UPDATE pgknowbase_keywords AS k SET stale = true
    WHERE k.source = source_id AND k.id = ANY (object_keys) AND NOT k.stale;
$pgknowbase$;
