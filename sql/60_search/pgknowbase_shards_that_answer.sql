-- The rows that a statement gives of the shards of a distributed store, as JSON objects; of those servers alone that answer.
-- Citus itself answers from all servers or not at all, so each server is asked for its shards over a connection of its own,
-- all at the same time, and sees what is committed.
--
--   statement   a SELECT that reads the table <\shard>; no literal made by format() holds that, since it doubles backslashes
--
-- A server answers with one jsonb, which holds 256 MB. Rows that begin after 200 MB come as null, which is an error (PK003).
--
-- The setting pgknowbase.missing_servers names servers that are not asked, as an array of host:port; those that do not answer
-- are added to it, until the end of the transaction.
CREATE OR REPLACE FUNCTION pgknowbase_shards_that_answer(store text, statement text) RETURNS SETOF jsonb
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED SECURITY INVOKER SET search_path FROM CURRENT SET jit = 'off'
AS $pgknowbase$
DECLARE
    _missing text[] := coalesce(nullif(current_setting('pgknowbase.missing_servers', true), ''), '{}');
    _next record;
    _rows jsonb;
BEGIN
    PERFORM pgknowbase_limit_connecting();
    FOR _next IN
        WITH asked AS (
            SELECT n.nodename::text AS host, n.nodeport AS port, format(
                'SELECT jsonb_agg(CASE WHEN s.total - s.size < 200000000 THEN s.j END) FROM ('
                    'SELECT r.j, r.size, sum(r.size) OVER (ROWS UNBOUNDED PRECEDING) AS total FROM ('
                    'SELECT t.j, pg_column_size(t.j) AS size FROM (SELECT to_jsonb(f) AS j FROM (%s) AS f OFFSET 0) AS t) AS r) AS s', string_agg(format(
                    '(%s)', replace(statement, '<\shard>', shard_name(d.logicalrelid, d.shardid))), ' UNION ALL ')) AS command
            FROM pg_dist_shard AS d
            JOIN pg_dist_placement AS p ON p.shardid = d.shardid
            JOIN pg_dist_node AS n ON n.groupid = p.groupid AND n.noderole = 'primary'
            WHERE d.logicalrelid = store::regclass AND n.nodename || ':' || n.nodeport <> ALL (_missing)
            GROUP BY n.nodename, n.nodeport
        )
        SELECT r.node_name || ':' || r.node_port AS server, r.success, r.result
        FROM (SELECT array_agg(a.host) AS hosts, array_agg(a.port) AS ports, array_agg(a.command) AS commands FROM asked AS a) AS a
        CROSS JOIN LATERAL master_run_on_worker(a.hosts, a.ports, a.commands, true) AS r
        WHERE a.hosts IS NOT NULL
    LOOP
        IF _next.success THEN
            _rows := nullif(_next.result, '');
            IF _rows -> -1 = 'null' THEN
                RAISE EXCEPTION 'the server % of the cluster has more than 200 MB for the search', _next.server
                    USING ERRCODE = 'PK003', HINT = 'Ask for less, or for an answer of all servers, which has no such limit.';
            END IF;
            RETURN QUERY SELECT j FROM jsonb_array_elements(_rows) AS j;
        ELSIF _next.result ~ '^(failed to connect|connection lost|query result unavailable)|terminating connection|shutting down' THEN
            _missing := _missing || _next.server;
        ELSE
            RAISE EXCEPTION 'the server % of the cluster: %', _next.server, _next.result;
        END IF;
    END LOOP;
    PERFORM set_config('pgknowbase.missing_servers', _missing::text, true);
END
$pgknowbase$;
