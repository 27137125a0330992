-- Waits at most two seconds, in this transaction, for a server of the cluster that hangs; Citus would wait for half a minute,
-- and QUERY_TIMEOUT leaves a search five seconds.
CREATE OR REPLACE FUNCTION pgknowbase_limit_connecting() RETURNS void
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED SECURITY INVOKER SET search_path FROM CURRENT
AS $pgknowbase$
BEGIN
    PERFORM set_config('citus.node_connection_timeout', '2s', true);
END
$pgknowbase$;
