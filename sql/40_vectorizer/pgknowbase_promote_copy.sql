-- Trigger of a chunk store, after a row that was no copy is gone or has got another vector: one of its copies, if there are
-- any, comes into the vector index in its place. See pgknowbase_mark_copy.
--
-- Another representative is enough if it can be locked, else it may be about to go as well. Copies that others have locked
-- are waited for only where all are, as whoever deletes them may roll back. Snapshots of REPEATABLE READ would not show what
-- was committed meanwhile: pgknowbase's own transactions are READ COMMITTED, and pgknowbase_copy_state_v1 finds the rest.
--
-- enable_seqscan, jit: as in pgknowbase_store_open_v1.
CREATE OR REPLACE FUNCTION pgknowbase_promote_copy() RETURNS trigger
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER SET search_path FROM CURRENT SET enable_seqscan = off
SET jit = off
AS $pgknowbase$
DECLARE
    _store CONSTANT text := TG_RELID::regclass;
    _rows CONSTANT text := format('SELECT c.embedding_uuid FROM %s AS c WHERE c.vector_key = $1', _store);
    _found uuid;
BEGIN
    EXECUTE _rows || ' AND c.is_copy LIMIT 1' INTO _found USING OLD.vector_key;
    IF _found IS NULL THEN
        RETURN NULL;
    END IF;
    EXECUTE _rows || ' AND NOT c.is_copy LIMIT 1 FOR KEY SHARE SKIP LOCKED' INTO _found USING OLD.vector_key;
    IF _found IS NOT NULL THEN
        RETURN NULL;
    END IF;
    EXECUTE _rows || ' AND c.is_copy LIMIT 1 FOR UPDATE SKIP LOCKED' INTO _found USING OLD.vector_key;
    IF _found IS NULL THEN
        EXECUTE _rows || ' AND c.is_copy LIMIT 1 FOR UPDATE' INTO _found USING OLD.vector_key;
    END IF;
    EXECUTE format('UPDATE %s SET is_copy = false WHERE embedding_uuid = $1', _store) USING _found;
    RETURN NULL;
END
$pgknowbase$;
