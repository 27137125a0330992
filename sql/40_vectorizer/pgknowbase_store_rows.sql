-- The chunks of documents in a store that is distributed, without their vectors: a statement that Citus sends to the shards
-- of these documents alone. sources, ids NULL: of all documents, without texts. first_chunks: so many of
-- each document. See pgknowbase_store_reader.
CREATE OR REPLACE FUNCTION pgknowbase_store_rows(
    store text, sources integer[], ids text[], first_chunks bigint DEFAULT 2147483648)
RETURNS TABLE (embedding_uuid uuid, source integer, id text, chunk_seq integer, chunk text, tokens integer, reusable boolean)
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED SECURITY INVOKER SET search_path FROM CURRENT
AS $pgknowbase$
BEGIN
    PERFORM pgknowbase_limit_connecting(ids IS NULL);
    IF ids IS NULL THEN
        RETURN QUERY EXECUTE format(
            'SELECT NULL::uuid, c.source, c.id, c.chunk_seq, NULL::text, c.tokens, c.reusable FROM %s AS c', store);
        RETURN;
    END IF;
    IF pgknowbase_is_partial_v1() THEN
        RETURN QUERY
        SELECT r.*
        FROM pgknowbase_shards_that_answer(store, format($sql$
            SELECT c.embedding_uuid, c.source, c.id, c.chunk_seq, c.chunk, c.tokens, c.reusable
            FROM <\shard> AS c WHERE c.source = ANY (%L) AND c.id = ANY (%L) AND c.chunk_seq < %s
            $sql$, sources, ids, first_chunks)) AS f
        CROSS JOIN LATERAL jsonb_to_record(f) AS r (
            embedding_uuid uuid, source integer, id text, chunk_seq integer, chunk text, tokens integer, reusable boolean);
        RETURN;
    END IF;
    RETURN QUERY EXECUTE format($sql$
        SELECT c.embedding_uuid, c.source, c.id, c.chunk_seq, c.chunk, c.tokens, c.reusable
        FROM %s AS c WHERE c.source = ANY ($1) AND c.id = ANY ($2) AND c.chunk_seq < $3
        $sql$, store) USING sources, ids, first_chunks;
END
$pgknowbase$;
