-- The servers of the Citus cluster that hold shards, and whether each answers on a new connection, within two seconds. None
-- without Citus.
CREATE OR REPLACE FUNCTION pgknowbase_cluster_v1() RETURNS TABLE (host text, port integer, answers boolean)
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER SET search_path FROM CURRENT
AS $pgknowbase$
BEGIN
    IF EXISTS (SELECT FROM pg_extension AS x WHERE x.extname = 'citus') THEN
        PERFORM pgknowbase_limit_connecting();
        RETURN QUERY
        SELECT r.node_name, r.node_port, r.success
        FROM (
            SELECT array_agg(n.nodename ORDER BY n.nodename, n.nodeport) AS hosts,
                array_agg(n.nodeport ORDER BY n.nodename, n.nodeport) AS ports,
                array_agg('SELECT 1'::text) AS commands
            FROM pg_dist_node AS n WHERE n.noderole = 'primary' AND n.shouldhaveshards
        ) AS a
        CROSS JOIN LATERAL master_run_on_worker(a.hosts, a.ports, a.commands, true) AS r
        WHERE a.hosts IS NOT NULL;
    END IF;
END
$pgknowbase$;
