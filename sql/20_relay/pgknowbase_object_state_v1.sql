-- How far one object is. events: those of the outbox, and the expansions (as -id), that may concern it, of known alone
-- if that is given; indirect: some of them are to become others. The other columns are null for an object that the
-- index does not know.
CREATE OR REPLACE FUNCTION pgknowbase_object_state_v1(source_id integer, source_label text, key text, known bigint[])
RETURNS TABLE (events bigint[], indirect boolean, status text, error text, retry_at timestamptz)
LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY INVOKER SET search_path FROM CURRENT
AS $pgknowbase$
#variable_conflict use_column
BEGIN
    SELECT array_agg(w.id), bool_or(w.indirect) INTO events, indirect
    FROM (
        SELECT o.id, o.object_keys IS NULL OR o.path <> '' AS indirect
        FROM pgknowbase_outbox AS o
        WHERE o.source = source_label AND (o.object_keys IS NULL OR o.path <> '' OR key = ANY (o.object_keys))
        UNION ALL
        SELECT -x.id, false FROM pgknowbase_expansion AS x WHERE x.source = source_label
    ) AS w
    WHERE known IS NULL OR w.id = ANY (known);
    SELECT e.status, e.error, e.retry_at INTO status, error, retry_at
    FROM pgknowbase_externaldata AS e WHERE e.content_type_id = source_id AND e.object_key = key;
    RETURN NEXT;
END
$pgknowbase$;
