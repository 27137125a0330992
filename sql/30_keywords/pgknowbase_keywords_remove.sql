-- Trigger after DELETE or TRUNCATE of documents: deletes their words, and subtracts them from the counts of the corpus.
CREATE OR REPLACE FUNCTION pgknowbase_keywords_remove() RETURNS trigger
LANGUAGE plpgsql VOLATILE SECURITY INVOKER SET search_path FROM CURRENT SET enable_seqscan = off SET jit = off
SET plan_cache_mode = force_custom_plan
AS $pgknowbase$
DECLARE
    _source integer;
    _ids text[];
BEGIN
    IF tg_op = 'TRUNCATE' THEN
        TRUNCATE pgknowbase_keywords, pgknowbase_corpus, pgknowbase_word, pgknowbase_postings, pgknowbase_rare_postings,
            pgknowbase_postings_block, pgknowbase_postings_word;
        RETURN NULL;
    END IF;
    FOR _source, _ids IN SELECT g.source, array_agg(g.id) FROM gone AS g GROUP BY g.source LOOP
        WITH forgotten AS (
            DELETE FROM pgknowbase_keywords AS k WHERE k.source = _source AND k.id = ANY (_ids)
            RETURNING k.language, k.maker, k.length
        )
        INSERT INTO pgknowbase_corpus (source, language, maker, documents, words)
        SELECT _source, f.language, f.maker, -count(*), -sum(f.length) FROM forgotten AS f
        WHERE f.language IS NOT NULL GROUP BY f.language, f.maker;
    END LOOP;
    RETURN NULL;
END
$pgknowbase$;
