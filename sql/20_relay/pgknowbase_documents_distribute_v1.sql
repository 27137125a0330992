-- Distributes the texts of documents over the servers of a Citus cluster, by the ids of their documents; or, with distributed
-- false, brings them back. They go to pgknowbase_shard_document, which is there as long as they are distributed;
-- pgknowbase_document keeps titles, languages and a digest of each text. Returns whether anything was to be done.
--
--   beside   a distributed table, such as the store of a space, on whose shards the texts shall lie: an object is then
--            on one server
--
-- Relays and workers wait for it, searches do not. The documents themselves have not changed, so none of their triggers fires:
-- nothing is embedded anew. Afterwards pgknowbase_documents_shrink_v1 frees the room that the texts took.
CREATE OR REPLACE FUNCTION pgknowbase_documents_distribute_v1(
    distributed boolean DEFAULT true, beside text DEFAULT 'none') RETURNS boolean
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER SET search_path FROM CURRENT
AS $pgknowbase$
DECLARE
    _schema CONSTANT text := (SELECT c.relnamespace::regnamespace FROM pg_class AS c WHERE c.oid = 'pgknowbase_document'::regclass);
    _trigger record;
    _restore text[] := '{}';
BEGIN
    -- Also against those who lock rows, which they would hold while they wait for this, and this for them.
    LOCK TABLE pgknowbase_document IN EXCLUSIVE MODE;
    IF (to_regclass('pgknowbase_shard_document') IS NOT NULL) = distributed THEN
        RETURN false;
    END IF;
    IF distributed THEN
        EXECUTE format(
            'CREATE TABLE %s.pgknowbase_shard_document (source integer, id text, content text NOT NULL, PRIMARY KEY (source, id))', _schema);
        PERFORM create_distributed_table('pgknowbase_shard_document', 'id', colocate_with => beside);
        INSERT INTO pgknowbase_shard_document (source, id, content)
        SELECT d.source, d.id, d.content FROM pgknowbase_document AS d WHERE d.content IS NOT NULL;
        ANALYZE pgknowbase_shard_document;
        PERFORM pgknowbase_copy_grants('pgknowbase_document', 'pgknowbase_shard_document');
    ELSE
        CREATE TEMPORARY TABLE pgknowbase_brought_back_texts ON COMMIT DROP AS
        SELECT s.source, s.id, s.content FROM pgknowbase_shard_document AS s;
        ANALYZE pgknowbase_brought_back_texts;
    END IF;
    FOR _trigger IN
        SELECT t.tgname AS name, t.tgenabled AS state FROM pg_trigger AS t
        WHERE t.tgrelid = 'pgknowbase_document'::regclass AND NOT t.tgisinternal AND t.tgenabled <> 'D'
    LOOP
        EXECUTE format('ALTER TABLE pgknowbase_document DISABLE TRIGGER %I', _trigger.name);
        _restore := _restore || format('ALTER TABLE pgknowbase_document ENABLE %s TRIGGER %I', CASE _trigger.state
            WHEN 'A' THEN 'ALWAYS' WHEN 'R' THEN 'REPLICA' ELSE '' END, _trigger.name);
    END LOOP;
    IF distributed THEN
        UPDATE pgknowbase_document AS d SET content = NULL, digest = md5(d.content) WHERE d.content IS NOT NULL;
    ELSE
        UPDATE pgknowbase_document AS d SET content = b.content, digest = NULL
        FROM pgknowbase_brought_back_texts AS b
        WHERE b.source = d.source AND b.id = d.id AND md5(b.content) = d.digest AND d.content IS NULL;
        IF EXISTS (SELECT FROM pgknowbase_document AS d WHERE d.content IS NULL) THEN
            RAISE EXCEPTION 'the cluster has lost the texts of % documents',
                (SELECT count(*) FROM pgknowbase_document AS d WHERE d.content IS NULL)
                USING ERRCODE = 'data_corrupted', HINT = 'Render them anew: sync_external_models --repair.';
        END IF;
    END IF;
    FOR _trigger IN SELECT u.command FROM unnest(_restore) AS u (command) LOOP
        EXECUTE _trigger.command;
    END LOOP;
    IF distributed THEN
        CREATE TRIGGER pgknowbase_shard_document_delete AFTER DELETE ON pgknowbase_document
            REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION pgknowbase_shard_rows_remove('pgknowbase_shard_document');
        CREATE TRIGGER pgknowbase_shard_document_truncate AFTER TRUNCATE ON pgknowbase_document
            FOR EACH STATEMENT EXECUTE FUNCTION pgknowbase_shard_rows_remove('pgknowbase_shard_document');
    ELSE
        -- At the end, because searches wait for it.
        DROP TRIGGER pgknowbase_shard_document_delete ON pgknowbase_document;
        DROP TRIGGER pgknowbase_shard_document_truncate ON pgknowbase_document;
        DROP TABLE pgknowbase_shard_document;
    END IF;
    RETURN true;
END
$pgknowbase$;
