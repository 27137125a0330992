-- In this transaction, waits at most two seconds for a server of the cluster that hangs; Citus would wait for half a minute,
-- and QUERY_TIMEOUT leaves a search five seconds.
--
-- Nor does it make connections that Citus would close afterwards (citus.max_cached_conns_per_worker, 1), since making one takes
-- ten times as long as walking the index of a shard: a server's shards are asked one after the other, over those that are
-- there. Unless everything in them is read.
CREATE OR REPLACE FUNCTION pgknowbase_limit_connecting(reads_all boolean DEFAULT false) RETURNS void
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED SECURITY INVOKER SET search_path FROM CURRENT
AS $pgknowbase$
BEGIN
    PERFORM set_config('citus.node_connection_timeout', '2s', true),
        set_config('citus.max_adaptive_executor_pool_size', CASE WHEN NOT reads_all THEN
            greatest(nullif(current_setting('citus.max_cached_conns_per_worker', true), '')::integer, 1)::text END, true);
END
$pgknowbase$;
