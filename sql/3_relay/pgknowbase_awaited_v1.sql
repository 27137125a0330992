-- How far one object is. events: those of the outbox that may concern it, of known alone if that is given; indirect:
-- some of them are to become further events. The other columns are null for an object that the index does not know.
CREATE OR REPLACE FUNCTION pgknowbase_awaited_v1(source_id integer, source_label text, key text, known bigint[])
RETURNS TABLE (events bigint[], indirect boolean, status text, error text, retry_at timestamptz)
LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY INVOKER SET search_path FROM CURRENT
AS $pgknowbase$
#variable_conflict use_column
BEGIN
    IF known IS NULL THEN
        SELECT array_agg(o.id), bool_or(o.object_key IS NULL OR o.path <> '') INTO events, indirect
        FROM pgknowbase_outbox AS o
        WHERE o.source = source_label AND (o.object_key = key OR o.object_key IS NULL OR o.path <> '');
    ELSE
        SELECT array_agg(o.id), bool_or(o.object_key IS NULL OR o.path <> '') INTO events, indirect
        FROM pgknowbase_outbox AS o WHERE o.id = ANY (known);
    END IF;
    SELECT e.status, e.error, e.retry_at INTO status, error, retry_at
    FROM pgknowbase_externaldata AS e WHERE e.content_type_id = source_id AND e.object_key = key;
    RETURN NEXT;
END
$pgknowbase$;
