-- How many chunks a distributed store has, those of one source or of all, counted up to at_most of each shard.
CREATE OR REPLACE FUNCTION pgknowbase_store_count(store text, only_source integer, at_most bigint) RETURNS bigint
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED SECURITY INVOKER SET search_path FROM CURRENT
AS $pgknowbase$
DECLARE
    _found bigint;
BEGIN
    IF pgknowbase_is_partial_v1() THEN
        SELECT sum((f ->> 'count')::bigint) INTO _found FROM pgknowbase_shards_that_answer(store, format(
            'SELECT count(*) FROM <\shard> AS c WHERE %1$L IS NULL OR c.source = %1$L', only_source)) AS f;
        RETURN least(_found, at_most);
    END IF;
    EXECUTE format('SELECT count(*) FROM %s AS c WHERE $1 IS NULL OR c.source = $1', store) INTO _found USING only_source;
    RETURN least(_found, at_most);
END
$pgknowbase$;
