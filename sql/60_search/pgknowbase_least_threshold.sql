-- The lowest similarity threshold that an object of these sources has (NULL: of all): no chunk below it is a hit.
-- The index on source and threshold answers, one look for each source.
CREATE OR REPLACE FUNCTION pgknowbase_least_threshold(sources integer[]) RETURNS float8
LANGUAGE sql STABLE PARALLEL SAFE SECURITY INVOKER SET search_path FROM CURRENT
AS $pgknowbase$
    SELECT min(lowest.threshold)
    FROM (
        SELECT (
            SELECT x.similarity_threshold FROM pgknowbase_externaldata AS x
            WHERE x.content_type_id = t.id AND x.similarity_threshold >= 0 -- the condition of the partial index
            ORDER BY x.similarity_threshold LIMIT 1
        ) AS threshold
        FROM django_content_type AS t WHERE sources IS NULL OR t.id = ANY (sources)
    ) AS lowest
$pgknowbase$;
