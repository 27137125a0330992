-- Raises PK002 where a distributed store has lost its cluster: what is left of the table is empty.
CREATE OR REPLACE FUNCTION pgknowbase_cluster_required(space pgknowbase_space) RETURNS void
LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY INVOKER SET search_path FROM CURRENT
AS $pgknowbase$
BEGIN
    IF space.distributed AND NOT EXISTS (SELECT FROM pg_extension AS x WHERE x.extname = 'citus') THEN
        RAISE EXCEPTION 'the store of the embedding space % is distributed, and this database has no extension citus',
            quote_literal(space.name)
            USING ERRCODE = 'PK002', HINT = 'Connect to the coordinator of its cluster, or make the space anew.';
    END IF;
END
$pgknowbase$;
