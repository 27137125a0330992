-- How many transactions of the Citus cluster each of its servers that answer has prepared, and not ended for longer than
-- older_than. None without Citus.
CREATE OR REPLACE FUNCTION pgknowbase_cluster_prepared_v1(older_than interval DEFAULT '2 minutes')
RETURNS TABLE (host text, port integer, prepared bigint)
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER SET search_path FROM CURRENT
AS $pgknowbase$
BEGIN
    IF EXISTS (SELECT FROM pg_extension AS x WHERE x.extname = 'citus') THEN
        PERFORM pgknowbase_limit_connecting();
        RETURN QUERY
        SELECT r.node_name, r.node_port, r.result::bigint
        FROM (
            SELECT array_agg(n.nodename ORDER BY n.nodename, n.nodeport) AS hosts,
                array_agg(n.nodeport ORDER BY n.nodename, n.nodeport) AS ports,
                array_agg(format(
                    $$SELECT count(*) FROM pg_prepared_xacts
                    WHERE database = current_database() AND gid LIKE 'citus%%' AND prepared < now() - %L::interval$$,
                    older_than)) AS commands
            FROM pg_dist_node AS n WHERE n.noderole = 'primary' AND n.shouldhaveshards
        ) AS a
        CROSS JOIN LATERAL master_run_on_worker(a.hosts, a.ports, a.commands, true) AS r
        WHERE r.success;
    END IF;
END
$pgknowbase$;
