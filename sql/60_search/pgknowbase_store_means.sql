-- The mean vectors of documents in the active space, whose store is distributed; of others with one of these ids too.
CREATE OR REPLACE FUNCTION pgknowbase_store_means(sources integer[], ids text[])
RETURNS TABLE (source integer, id text, mean halfvec)
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED SECURITY INVOKER SET search_path FROM CURRENT
AS $pgknowbase$
BEGIN
    IF pgknowbase_is_partial_v1() THEN
        RETURN QUERY
        SELECT r.*
        FROM pgknowbase_space AS s
        CROSS JOIN LATERAL pgknowbase_shards_that_answer(format('%I.%I', s.store_schema, s.store_table), format($sql$
            SELECT c.source, c.id, %1$s.avg(c.embedding::%1$s.halfvec(%2$s)) AS mean
            FROM <\shard> AS c WHERE c.source = ANY (%3$L) AND c.id = ANY (%4$L) GROUP BY c.source, c.id
            $sql$, (
                SELECT quote_ident(n.nspname) FROM pg_extension AS x JOIN pg_namespace AS n ON n.oid = x.extnamespace
                WHERE x.extname = 'vector'), s.dimensions, sources, ids)) AS f
        CROSS JOIN LATERAL jsonb_to_record(f) AS r (source integer, id text, mean halfvec)
        WHERE s.is_active;
        RETURN;
    END IF;
    PERFORM pgknowbase_limit_connecting();
    RETURN QUERY EXECUTE (SELECT format($sql$
        SELECT c.source, c.id, avg(c.embedding::halfvec(%s)) FROM %I.%I AS c
        WHERE c.source = ANY ($1) AND c.id = ANY ($2) GROUP BY c.source, c.id
        $sql$, s.dimensions, s.store_schema, s.store_table)
        FROM pgknowbase_space AS s WHERE s.is_active)
    USING sources, ids;
END
$pgknowbase$;
