-- Locks documents of one source in key order, as everybody does who locks more than one: before some of them are
-- written and others deleted, which would otherwise be two rounds.
CREATE OR REPLACE FUNCTION pgknowbase_lock_documents_v1(source_id integer, object_keys text[]) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER SET search_path FROM CURRENT SET enable_seqscan = off
SET jit = off SET plan_cache_mode = force_custom_plan
AS $pgknowbase$
BEGIN
    PERFORM 1 FROM pgknowbase_document AS d
    WHERE d.source = source_id AND d.id = ANY (object_keys) ORDER BY d.id FOR UPDATE;
END
$pgknowbase$;
