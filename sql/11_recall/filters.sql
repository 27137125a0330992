-- For each wanted share of the objects, the filter by one real value (a metadata entry or a tag) that lets a share pass
-- which comes nearest, and how many objects there are in all.
WITH object AS MATERIALIZED (
    SELECT e.metadata, e.tags FROM pgknowbase_externaldata AS e
    WHERE e.is_active AND e.content_type_id = ANY (coalesce(%s::int[], ARRAY[e.content_type_id]))
), candidate AS (
    SELECT jsonb_build_object(m.key, m.value) AS metadata, NULL::text[] AS tags, count(*) AS passing
    FROM object AS o CROSS JOIN LATERAL jsonb_each(o.metadata) AS m
    WHERE jsonb_typeof(o.metadata) = 'object' AND jsonb_typeof(m.value) IN ('string', 'number', 'boolean')
    GROUP BY 1
    UNION ALL
    SELECT NULL, ARRAY[t.tag], count(*) FROM object AS o CROSS JOIN LATERAL unnest(o.tags) AS t (tag) GROUP BY t.tag
), of_each_size AS (
    SELECT DISTINCT ON (c.passing) c.* FROM candidate AS c ORDER BY c.passing, c.metadata::text, c.tags
), total AS (
    SELECT count(*) AS objects FROM object
)
SELECT w.share AS wanted, n.metadata::text AS metadata, n.tags, n.passing, t.objects
FROM unnest(%s::float8[]) AS w (share)
CROSS JOIN total AS t
LEFT JOIN LATERAL (
    SELECT s.* FROM of_each_size AS s ORDER BY abs(ln(s.passing::float8 / t.objects) - ln(w.share)) LIMIT 1
) AS n ON true
ORDER BY w.share DESC
