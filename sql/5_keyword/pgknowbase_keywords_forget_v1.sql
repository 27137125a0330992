-- Trigger after DELETE or TRUNCATE of documents: their words go too.
CREATE OR REPLACE FUNCTION pgknowbase_keywords_forget_v1() RETURNS trigger
LANGUAGE plpgsql VOLATILE SECURITY INVOKER SET search_path FROM CURRENT SET enable_seqscan = off SET jit = off
AS $pgknowbase$
BEGIN
    IF tg_op = 'TRUNCATE' THEN
        TRUNCATE pgknowbase_keywords, pgknowbase_corpus, pgknowbase_word;
        RETURN NULL;
    END IF;
    WITH forgotten AS (
        DELETE FROM pgknowbase_keywords AS k USING gone AS g WHERE k.source = g.source AND k.id = g.id
        RETURNING k.source, k.language, k.length
    )
    INSERT INTO pgknowbase_corpus (source, language, documents, words)
    SELECT f.source, f.language, -count(*), -sum(f.length) FROM forgotten AS f
    WHERE f.language IS NOT NULL GROUP BY f.source, f.language;
    RETURN NULL;
END
$pgknowbase$;
