-- Lets every search read the chunk store of this space from now on. The status of external data follows page by page:
-- pgknowbase_space_recount_v1.
CREATE OR REPLACE FUNCTION pgknowbase_space_activate_v1(space bigint) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER SET search_path FROM CURRENT
AS $pgknowbase$
DECLARE
    _space pgknowbase_space;
BEGIN
    LOCK TABLE pgknowbase_space IN SHARE ROW EXCLUSIVE MODE;
    SELECT s.* INTO STRICT _space FROM pgknowbase_space AS s WHERE s.id = space;
    PERFORM pgknowbase_cluster_required(_space);
    UPDATE pgknowbase_space SET is_active = false, served_until = clock_timestamp() WHERE is_active AND id <> space;
    UPDATE pgknowbase_space SET is_active = true WHERE id = space;
    -- To other servers of a cluster, if there are any, the view is of no use.
    PERFORM set_config('citus.enable_ddl_propagation', 'off', true);
    -- Without type modifiers on its columns, a space of other dimensions can replace the view in place. Its schema is
    -- named, because what is created without one would go into the first schema of the search path, pg_catalog.
    EXECUTE format(
        'CREATE OR REPLACE VIEW %I.pgknowbase_chunk WITH (security_invoker = true) AS
         SELECT embedding_uuid, source, id, chunk_seq, chunk, tokens, embedding::halfvec(%s)::halfvec AS embedding,
             %s::bigint AS space_id, binary_quantize(embedding)::bit(%s)::"bit" AS bits, vector_key, is_copy
         FROM %I.%I',
        (SELECT n.nspname FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
            WHERE c.oid = 'pgknowbase_space'::regclass),
        _space.dimensions, space, _space.dimensions, _space.store_schema, _space.store_table);
    PERFORM set_config('citus.enable_ddl_propagation', 'on', true);
END
$pgknowbase$;
