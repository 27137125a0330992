-- How many bytes the store of a space takes, without its indexes; of a distributed one all shards together, or
-- in a partial answer those that there are. NULL: there is none, or a server of the cluster does not answer.
CREATE OR REPLACE FUNCTION pgknowbase_store_bytes_v1(space pgknowbase_space) RETURNS bigint
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED SECURITY INVOKER SET search_path FROM CURRENT
AS $pgknowbase$
DECLARE
    _store CONSTANT regclass := to_regclass(format('%I.%I', space.store_schema, space.store_table));
BEGIN
    IF NOT space.distributed THEN
        RETURN pg_table_size(_store);
    ELSIF pgknowbase_is_partial_v1() THEN
        RETURN (
            SELECT sum((f ->> 'size')::bigint)
            FROM pgknowbase_shards_that_answer(_store::text, $$SELECT pg_table_size('<\shard>'::regclass) AS size$$) AS f);
    END IF;
    BEGIN
        RETURN citus_table_size(_store);
    EXCEPTION WHEN connection_exception OR undefined_function THEN
        RETURN NULL;
    END;
END
$pgknowbase$;
