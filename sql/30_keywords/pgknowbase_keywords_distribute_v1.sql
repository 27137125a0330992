-- Distributes the words of documents over the servers of a Citus cluster, by the ids of their documents; or, with distributed
-- false, brings them back. They and their index go to pgknowbase_shard_keywords, which is there as long as they are distributed;
-- pgknowbase_keywords keeps what else is known of each document. Statistics and postings stay, so that all shards are one
-- corpus. Returns whether anything was to be done.
--
--   beside   a distributed table, such as the store of a space, on whose shards the words shall lie: an object is then
--            on one server
--
-- Workers wait for it, searches do not. Afterwards pgknowbase_keywords_shrink_v1 frees the room that the words took.
CREATE OR REPLACE FUNCTION pgknowbase_keywords_distribute_v1(
    distributed boolean DEFAULT true, beside text DEFAULT 'none') RETURNS boolean
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER SET search_path FROM CURRENT
AS $pgknowbase$
DECLARE
    _schema CONSTANT text := (SELECT c.relnamespace::regnamespace FROM pg_class AS c WHERE c.oid = 'pgknowbase_keywords'::regclass);
BEGIN
    -- Also against those who lock rows, which they would hold while they wait for this, and this for them.
    LOCK TABLE pgknowbase_keywords IN EXCLUSIVE MODE;
    IF (to_regclass('pgknowbase_shard_keywords') IS NOT NULL) = distributed THEN
        RETURN false;
    END IF;
    IF NOT distributed THEN
        CREATE TEMPORARY TABLE pgknowbase_brought_back ON COMMIT DROP AS
        SELECT s.source, s.id, s.words, s.frequent FROM pgknowbase_shard_keywords AS s;
        UPDATE pgknowbase_keywords AS k SET words = b.words, frequent = b.frequent
        FROM pgknowbase_brought_back AS b WHERE b.source = k.source AND b.id = k.id;
        DROP TRIGGER pgknowbase_shard_keywords_delete ON pgknowbase_keywords;
        DROP TRIGGER pgknowbase_shard_keywords_truncate ON pgknowbase_keywords;
        DROP TABLE pgknowbase_shard_keywords;
        RETURN true;
    END IF;
    EXECUTE format($sql$
        CREATE TABLE %s.pgknowbase_shard_keywords (
            source integer, id text, language text NOT NULL, words tsvector NOT NULL, length integer NOT NULL, frequent jsonb,
            number bigint NOT NULL, PRIMARY KEY (source, id))
        $sql$, _schema);
    PERFORM create_distributed_table('pgknowbase_shard_keywords', 'id', colocate_with => beside);
    INSERT INTO pgknowbase_shard_keywords (source, id, language, words, length, frequent, number)
    SELECT k.source, k.id, k.language, k.words, k.length, k.frequent, k.number FROM pgknowbase_keywords AS k
    WHERE k.words IS NOT NULL;
    CREATE INDEX pgknowbase_shard_keywords_words ON pgknowbase_shard_keywords USING gin (words);
    CREATE INDEX pgknowbase_shard_keywords_number ON pgknowbase_shard_keywords (number);
    ANALYZE pgknowbase_shard_keywords;
    PERFORM pgknowbase_copy_grants('pgknowbase_keywords', 'pgknowbase_shard_keywords');
    CREATE TRIGGER pgknowbase_shard_keywords_delete AFTER DELETE ON pgknowbase_keywords
        REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION pgknowbase_shard_rows_remove('pgknowbase_shard_keywords');
    CREATE TRIGGER pgknowbase_shard_keywords_truncate AFTER TRUNCATE ON pgknowbase_keywords
        FOR EACH STATEMENT EXECUTE FUNCTION pgknowbase_shard_rows_remove('pgknowbase_shard_keywords');
    RETURN true;
END
$pgknowbase$;
