-- The places of objects in the order of one of their fields: updated or created, the times of their entry in the index, or
-- metadata.KEY, by the order of jsonb, in which numbers come before texts; with - before it in descending order. Objects without
-- the key come last. What is equal stays in the order of ids, and what there is not is left out.
--
--   WITH hit AS MATERIALIZED (SELECT * FROM pgknowbase_search_keyword_v1('gzip', 1000))
--   SELECT h.object_key
--   FROM hit AS h JOIN pgknowbase_order_v1(ARRAY(SELECT external_data_id FROM hit ORDER BY score DESC), '-updated') AS o
--       ON o.external_data_id = h.external_data_id
--   WHERE h.score >= 0.5 * (SELECT max(score) FROM hit) ORDER BY o.place LIMIT 10;
CREATE OR REPLACE FUNCTION pgknowbase_order_v1(ids bigint[], order_by text)
RETURNS TABLE (external_data_id bigint, place bigint)
LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY INVOKER ROWS 100 SET search_path FROM CURRENT SET jit = 'off'
SET enable_seqscan = 'off'
AS $pgknowbase$
#variable_conflict use_column
DECLARE
    _downwards CONSTANT boolean := order_by LIKE '-%';
    _field CONSTANT text := ltrim(order_by, '-');
    _key CONSTANT text := CASE WHEN _field LIKE 'metadata._%' THEN substr(_field, 10) END;
BEGIN
    IF _key IS NULL AND _field NOT IN ('updated', 'created') THEN
        RAISE EXCEPTION 'objects have no order by %', quote_literal(order_by) USING ERRCODE = 'invalid_parameter_value',
            HINT = 'Use updated, created or metadata.KEY, with - before it for descending order.';
    END IF;
    RETURN QUERY
    SELECT v.id, row_number() OVER (
        ORDER BY CASE WHEN NOT _downwards THEN v.value END, CASE WHEN _downwards THEN v.value END DESC NULLS LAST, v.place)
    FROM (
        SELECT o.id, o.place, CASE
                WHEN _key IS NOT NULL THEN nullif(e.metadata -> _key, 'null')
                ELSE to_jsonb(extract(epoch FROM CASE _field WHEN 'updated' THEN e.updated_at ELSE e.created_at END))
            END AS value
        FROM unnest(ids) WITH ORDINALITY AS o (id, place)
        CROSS JOIN LATERAL (
            SELECT x.metadata, x.updated_at, x.created_at FROM pgknowbase_externaldata AS x WHERE x.id = o.id OFFSET 0
        ) AS e
    ) AS v;
END
$pgknowbase$;
