-- Writes pgknowbase_keywords anew without the words, once they are distributed (pgknowbase_keywords_distribute_v1) and that is
-- committed: a search of before reads them here. Whoever reads the table waits meanwhile.
CREATE OR REPLACE FUNCTION pgknowbase_keywords_shrink_v1() RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER SET search_path FROM CURRENT
AS $pgknowbase$
BEGIN
    LOCK TABLE pgknowbase_keywords IN ACCESS EXCLUSIVE MODE;
    IF to_regclass('pgknowbase_shard_keywords') IS NOT NULL THEN
        ALTER TABLE pgknowbase_keywords
            ALTER COLUMN words TYPE tsvector USING NULL::tsvector, ALTER COLUMN frequent TYPE jsonb USING NULL::jsonb;
        ANALYZE pgknowbase_keywords;
    END IF;
END
$pgknowbase$;
