-- The chunks of documents in a store that is distributed, without their vectors: a statement that Citus sends to the shards
-- of these documents alone. sources, ids NULL: of all documents, without texts. See pgknowbase_store_reader.
CREATE OR REPLACE FUNCTION pgknowbase_store_rows(store text, sources integer[], ids text[])
RETURNS TABLE (embedding_uuid uuid, source integer, id text, chunk_seq integer, chunk text, tokens integer, reusable boolean)
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED SECURITY INVOKER SET search_path FROM CURRENT
AS $pgknowbase$
BEGIN
    PERFORM set_config('citus.node_connection_timeout', '5s', true); -- as in pgknowbase_store_nearest
    IF ids IS NULL THEN
        RETURN QUERY EXECUTE format(
            'SELECT NULL::uuid, c.source, c.id, c.chunk_seq, NULL::text, c.tokens, c.reusable FROM %s AS c', store);
        RETURN;
    END IF;
    RETURN QUERY EXECUTE format($sql$
        SELECT c.embedding_uuid, c.source, c.id, c.chunk_seq, c.chunk, c.tokens, c.reusable
        FROM %s AS c WHERE c.source = ANY ($1) AND c.id = ANY ($2)
        $sql$, store) USING sources, ids;
END
$pgknowbase$;
