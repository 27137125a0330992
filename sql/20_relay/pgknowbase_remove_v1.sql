-- Takes objects of one source out of the index, document and chunks (by pgai's trigger) included; returns those that
-- were there. The caller holds the objects' locks.
-- enable_seqscan: the rows are few and known by key or place; the statistics of a table that fills say otherwise.
-- jit: before Postgres 18 a path switched off counts as a dear one, and what is dear is compiled, 250 ms a statement.
CREATE OR REPLACE FUNCTION pgknowbase_remove_v1(source_id integer, object_keys text[])
RETURNS TABLE (object_key text, external_data_id bigint)
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER SET search_path FROM CURRENT SET enable_seqscan = off
SET jit = off SET plan_cache_mode = force_custom_plan
AS $pgknowbase$
#variable_conflict use_column
BEGIN
    PERFORM 1 FROM pgknowbase_document AS d
    WHERE d.source = source_id AND d.id = ANY (object_keys) ORDER BY d.id FOR UPDATE;
    DELETE FROM pgknowbase_document AS d WHERE d.source = source_id AND d.id = ANY (object_keys);
    PERFORM 1 FROM pgknowbase_externaldata AS e
    WHERE e.content_type_id = source_id AND e.object_key = ANY (object_keys) ORDER BY e.object_key FOR UPDATE;
    RETURN QUERY
    DELETE FROM pgknowbase_externaldata AS e
    WHERE e.content_type_id = source_id AND e.object_key = ANY (object_keys)
    RETURNING e.object_key, e.id;
END
$pgknowbase$;
