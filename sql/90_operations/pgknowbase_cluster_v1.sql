-- The servers of the Citus cluster that hold shards, and whether each answers. None without Citus.
CREATE OR REPLACE FUNCTION pgknowbase_cluster_v1() RETURNS TABLE (host text, port integer, answers boolean)
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER SET search_path FROM CURRENT
AS $pgknowbase$
BEGIN
    IF EXISTS (SELECT FROM pg_extension AS x WHERE x.extname = 'citus') THEN
        RETURN QUERY
        SELECT n.nodename, n.nodeport, citus_check_connection_to_node(n.nodename, n.nodeport)
        FROM pg_dist_node AS n WHERE n.noderole = 'primary' AND n.shouldhaveshards ORDER BY n.nodename, n.nodeport;
    END IF;
END
$pgknowbase$;
