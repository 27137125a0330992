-- The vector indexes that the workers should build: those that searches miss, because the store has more chunks than are
-- compared one by one, and those that an interrupted build has left. The oldest worker alone is told, so that no two build
-- the same, and of no store of which an index is being built.
--
--   worker, exact_search_max_chunks   who asks, and its setting
--
-- source: the only source model in the index, null for all. bytes: of the store. is_loading: many documents wait to be
-- embedded, and the index is built in a fraction of the time once they are.
CREATE OR REPLACE FUNCTION pgknowbase_indexes_due_v1(worker uuid, exact_search_max_chunks integer)
RETURNS TABLE (space bigint, source integer, bytes bigint, is_loading boolean)
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED SECURITY INVOKER SET search_path FROM CURRENT SET jit = off
AS $pgknowbase$
DECLARE
    _space record;
    _waiting bigint;
BEGIN
    IF worker IS DISTINCT FROM (SELECT w.id FROM pgknowbase_worker AS w ORDER BY w.started_at, w.id LIMIT 1) THEN
        RETURN;
    END IF;
    FOR _space IN
        SELECT s.id, s.store, s.bytes, s.chunk_bytes, s.queue, i.only_source
        FROM (
            SELECT s.id, to_regclass(format('%I.%I', s.store_schema, s.store_table)) AS store, s.chunk_bytes,
                pgknowbase_store_bytes_v1(s) AS bytes,
                to_regclass(format('%I.%I', s.store_schema, s.store_table || '_hnsw')) AS name,
                format('^%s_hnsw_([0-9]+)$', s.store_table) AS partial,
                format('%I.%I', v.queue_schema, v.queue_table) AS queue
            FROM pgknowbase_space AS s JOIN ai.vectorizer AS v ON v.id = s.vectorizer_id
        ) AS s
        CROSS JOIN LATERAL (
            SELECT NULL::integer AS only_source
            WHERE NOT EXISTS (SELECT FROM pg_index AS x WHERE x.indexrelid = s.name AND x.indisvalid)
                AND (s.name IS NOT NULL OR s.bytes > exact_search_max_chunks::bigint * s.chunk_bytes)
            UNION ALL
            SELECT substring(c.relname FROM s.partial)::integer
            FROM pg_index AS x JOIN pg_class AS c ON c.oid = x.indexrelid
            WHERE x.indrelid = s.store AND NOT x.indisvalid AND c.relname ~ s.partial
        ) AS i
        WHERE s.store IS NOT NULL AND NOT EXISTS (
            SELECT FROM pg_stat_progress_create_index AS p
            WHERE p.relid = s.store AND p.datname = current_database())
    LOOP
        -- Of an ended load some documents always wait, where rows are written all the time.
        EXECUTE format('SELECT count(*) FROM (SELECT FROM %s LIMIT $1) AS q', _space.queue)
        INTO _waiting USING 101 + _space.bytes / _space.chunk_bytes / 100;
        space := _space.id;
        source := _space.only_source;
        bytes := _space.bytes;
        is_loading := _waiting > 100 + _space.bytes / _space.chunk_bytes / 100;
        RETURN NEXT;
    END LOOP;
END
$pgknowbase$;
