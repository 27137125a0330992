-- Sums up the corpus of a source anew. The lock keeps others from adding rows up meanwhile: each would otherwise count what
-- the other has counted.
CREATE OR REPLACE FUNCTION pgknowbase_corpus_repair_v1(source_id integer) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER SET search_path FROM CURRENT
AS $pgknowbase$
BEGIN
    LOCK TABLE pgknowbase_corpus IN SHARE ROW EXCLUSIVE MODE;
    DELETE FROM pgknowbase_corpus WHERE source = source_id;
    INSERT INTO pgknowbase_corpus (source, language, maker, documents, words)
    SELECT source_id, k.language, k.maker, count(*), sum(k.length) FROM pgknowbase_keywords AS k
    WHERE k.source = source_id AND k.language IS NOT NULL GROUP BY k.language, k.maker;
END
$pgknowbase$;
