-- What pgknowbase_store_open_v1, which calls it, does to the chunks of a distributed store: those that stay move to their places
-- and the others are deleted. Statements with neither a join nor a volatile function, which Citus sends to the shards of these
-- documents; chunks are named by their uuids, which the coordinator looks up before.
CREATE OR REPLACE FUNCTION pgknowbase_store_move(
    store text, sources integer[], ids text[], kept_sources integer[], kept_ids text[], kept_old integer[], kept_new integer[])
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER SET search_path FROM CURRENT
AS $pgknowbase$
DECLARE
    _gone uuid[];
    _gone_ids text[];
    _moved uuid[];
    _moved_ids text[];
    _places integer[];
BEGIN
    SELECT array_agg(c.embedding_uuid) FILTER (WHERE k.new IS NULL), array_agg(DISTINCT c.id) FILTER (WHERE k.new IS NULL),
        array_agg(c.embedding_uuid ORDER BY c.embedding_uuid) FILTER (WHERE k.new <> c.chunk_seq),
        array_agg(DISTINCT c.id) FILTER (WHERE k.new <> c.chunk_seq),
        array_agg(k.new ORDER BY c.embedding_uuid) FILTER (WHERE k.new <> c.chunk_seq)
    INTO _gone, _gone_ids, _moved, _moved_ids, _places
    FROM unnest(sources, ids) AS o (source, id)
    JOIN pgknowbase_store_rows(store, sources, ids) AS c ON c.source = o.source AND c.id = o.id
    LEFT JOIN unnest(kept_sources, kept_ids, kept_old, kept_new) AS k (source, id, old, new)
        ON k.source = c.source AND k.id = c.id AND k.old = c.chunk_seq;
    IF _gone IS NOT NULL THEN
        EXECUTE format('DELETE FROM %s WHERE id = ANY ($1) AND embedding_uuid = ANY ($2)', store) USING _gone_ids, _gone;
    END IF;
    IF _moved IS NOT NULL THEN
        -- Places are unique, so chunks that move go through negative ones.
        EXECUTE format($sql$
            UPDATE %s SET chunk_seq = -1 - ($3)[array_position($2, embedding_uuid)] WHERE id = ANY ($1) AND embedding_uuid = ANY ($2)
            $sql$, store) USING _moved_ids, _moved, _places;
        EXECUTE format(
            'UPDATE %s SET chunk_seq = -1 - chunk_seq WHERE id = ANY ($1) AND embedding_uuid = ANY ($2)', store)
        USING _moved_ids, _moved;
    END IF;
END
$pgknowbase$;
