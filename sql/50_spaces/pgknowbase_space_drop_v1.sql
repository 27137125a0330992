-- Drops a space, its vectorizer, queue, chunks and embeddings. The view of the active space goes with it.
CREATE OR REPLACE FUNCTION pgknowbase_space_drop_v1(space bigint) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER SET search_path FROM CURRENT
AS $pgknowbase$
DECLARE
    _space pgknowbase_space;
BEGIN
    SELECT s.* INTO STRICT _space FROM pgknowbase_space AS s WHERE s.id = space FOR UPDATE;
    IF _space.distributed THEN
        SET LOCAL citus.multi_shard_modify_mode = 'sequential'; -- Citus drops functions in no other
    END IF;
    IF _space.is_active THEN
        DROP VIEW IF EXISTS pgknowbase_chunk;
    END IF;
    PERFORM ai.drop_vectorizer(_space.vectorizer_id, drop_all => true);
    DELETE FROM pgknowbase_space WHERE id = space;
END
$pgknowbase$;
