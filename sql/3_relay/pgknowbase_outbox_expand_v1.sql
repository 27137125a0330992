-- Turns a TRUNCATE event into one event for each object that the index knows of the source.
CREATE OR REPLACE FUNCTION pgknowbase_outbox_expand_v1(source_id integer, source_label text) RETURNS bigint
LANGUAGE sql VOLATILE PARALLEL UNSAFE SECURITY INVOKER SET search_path FROM CURRENT
AS $pgknowbase$
    WITH expanded AS (
        INSERT INTO pgknowbase_outbox (source, object_key, op)
        SELECT source_label, e.object_key, 'D' FROM pgknowbase_externaldata AS e WHERE e.content_type_id = source_id
        RETURNING 1
    )
    SELECT count(*) FROM expanded
$pgknowbase$;
