-- Writes pgknowbase_document anew, without the room that the texts took before they were distributed
-- (pgknowbase_documents_distribute_v1). Whoever reads the table waits meanwhile; it is small by then.
CREATE OR REPLACE FUNCTION pgknowbase_documents_shrink_v1() RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER SET search_path FROM CURRENT
AS $pgknowbase$
BEGIN
    -- Unlike ALTER TABLE it keeps what a search sees that began before the texts were distributed; and unlike VACUUM FULL it
    -- does so in a transaction, which gives up where it would wait for its lock.
    EXECUTE format('CLUSTER pgknowbase_document USING %I', (
        SELECT c.relname FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid
        WHERE i.indrelid = 'pgknowbase_document'::regclass AND i.indisprimary));
    ALTER TABLE pgknowbase_document SET WITHOUT CLUSTER;
    ANALYZE pgknowbase_document;
END
$pgknowbase$;
