-- Whether the searches of this transaction answer from the servers of the cluster that are there: whoever wants that sets
-- pgknowbase.missing_servers to '{}', see pgknowbase_shards_that_answer.
CREATE OR REPLACE FUNCTION pgknowbase_is_partial_v1() RETURNS boolean
LANGUAGE sql STABLE PARALLEL RESTRICTED SECURITY INVOKER SET search_path FROM CURRENT
RETURN coalesce(current_setting('pgknowbase.missing_servers', true), '') <> '';
