-- The mean vectors of documents in the active space, whose store is distributed; of others with one of these ids too.
CREATE OR REPLACE FUNCTION pgknowbase_store_means(sources integer[], ids text[])
RETURNS TABLE (source integer, id text, mean halfvec)
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED SECURITY INVOKER SET search_path FROM CURRENT
AS $pgknowbase$
BEGIN
    RETURN QUERY EXECUTE (SELECT format($sql$
        SELECT c.source, c.id, avg(c.embedding::halfvec(%s)) FROM %I.%I AS c
        WHERE c.source = ANY ($1) AND c.id = ANY ($2) GROUP BY c.source, c.id
        $sql$, s.dimensions, s.store_schema, s.store_table)
        FROM pgknowbase_space AS s WHERE s.is_active)
    USING sources, ids;
END
$pgknowbase$;
