-- As pgknowbase_search_dense_v1, which calls it and has its parameters, where the store of the active space is distributed.
-- Citus joins no distributed table with a local one, so the nearest chunks come first, each shard telling its own and the
-- coordinator merging them, and are joined with external data afterwards. With filters the first look asks for as many as are
-- expected to hold the hits; where too few objects pass, the next one asks for four times as many.
--
-- plan: 'walk', along the vector index of each shard; 'exact_unindexed', every chunk is compared, since there is no vector index
-- yet or the search is to be exact; 'exact_filtered', where filters let few objects pass; 'retried_exactly', where the indexes gave up early.
DO $pgknowbase$ BEGIN PERFORM '[1]'::vector; END $pgknowbase$; -- loads pgvector, so that its settings are known below
CREATE OR REPLACE FUNCTION pgknowbase_search_shards(
    query halfvec, max_hits integer, filter pgknowbase_filter, exclude bigint, skip integer,
    exact_search_max_chunks integer, exactly boolean, record_plan boolean, spans boolean)
RETURNS SETOF pgknowbase_hit
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED SECURITY INVOKER ROWS 10
SET search_path FROM CURRENT
SET plan_cache_mode = 'force_custom_plan'
SET enable_seqscan = 'on'
SET enable_sort = 'on'
SET jit = 'off'
AS $pgknowbase$
#variable_conflict use_variable
DECLARE
    _known CONSTANT boolean := num_nonnulls(filter.object_keys, filter.external_data_ids) > 0;
    _source CONSTANT integer := CASE WHEN cardinality(filter.sources) = 1 THEN filter.sources[1] END;
    _is_narrowed CONSTANT boolean := filter.sources IS NOT NULL AND _source IS NULL OR num_nonnulls(
        filter.visible_to, filter.metadata, filter.matching, filter.tags, filter.changed_from, filter.changed_before,
        filter.conditions) > 0;
    _wanted CONSTANT bigint := max_hits::bigint + greatest(skip, 0);
    _space pgknowbase_space;
    _store text;
    _plan text;
    _rows bigint := 2 * _wanted + 20;
    _objects_known float8;
    _least_ef_search float8;
    _ef_search bigint;
    _expected bigint;
    _passing bigint;
    _compare boolean;
    _found bigint;
    _objects bigint;
    _farthest float8;
    _only_sources integer[];
    _only_ids text[];
    _ids bigint[];
    _sources integer[];
    _keys text[];
    _seqs integer[];
    _chunks text[];
    _similarities float8[];
BEGIN
    SELECT s.* INTO STRICT _space FROM pgknowbase_space AS s WHERE s.is_active;
    PERFORM pgknowbase_cluster_required(_space);
    _store := format('%I.%I', _space.store_schema, _space.store_table);
    _plan := CASE
        WHEN _known OR exactly AND _is_narrowed THEN 'exact_filtered'
        WHEN NOT exactly AND EXISTS (
            SELECT FROM pg_index AS i WHERE i.indisvalid
                AND i.indexrelid = to_regclass(format('%I.%I', _space.store_schema, _space.store_table || '_hnsw')))
        THEN 'walk' ELSE 'exact_unindexed' END;
    _compare := _plan = 'exact_filtered';
    IF _plan = 'walk' THEN
        -- Of each shard's nearest few are among the nearest of all.
        _least_ef_search := coalesce(_space.ef_search, (
            SELECT greatest(40, 100 / sqrt(count(*))) FROM pg_dist_shard AS d WHERE d.logicalrelid = _store::regclass));
        IF _is_narrowed THEN
            SELECT c.reltuples INTO _objects_known FROM pg_class AS c WHERE c.oid = 'pgknowbase_externaldata'::regclass;
            _expected := greatest(pgknowbase_estimate_matching(filter), 1);
            -- As in pgknowbase_search_dense_v1.
            _compare := _expected <= exact_search_max_chunks
                AND (12 * _expected < _objects_known OR _expected::float8 * _expected < 16 * _wanted * _objects_known);
            _rows := _rows + least(2 * _wanted * greatest(_objects_known / _expected - 1, 0), 1000);
        END IF;
    END IF;
    LOOP
        IF _compare THEN
            SELECT array_agg(DISTINCT p.content_type_id), array_agg(DISTINCT p.object_key), count(*)
            INTO _only_sources, _only_ids, _passing
            FROM (
                SELECT e.content_type_id, e.object_key FROM pgknowbase_externaldata AS e WHERE pgknowbase_matches_filter(e, filter)
                LIMIT CASE WHEN _plan = 'walk' THEN exact_search_max_chunks::bigint + 1 END
            ) AS p;
            EXIT WHEN _only_ids IS NULL;
            IF _plan = 'walk' AND _passing <= exact_search_max_chunks THEN
                _plan := 'exact_filtered';
                _rows := 2 * _wanted + 20;
            END IF;
            _compare := false;
        END IF;
        IF _plan = 'walk' AND _found IS NOT NULL AND _rows > 20000 THEN -- hnsw.max_scan_tuples, of each shard
            _plan := 'retried_exactly';
        END IF;
        _ef_search := CASE WHEN _plan = 'walk' THEN coalesce(
            nullif(current_setting('pgknowbase.ef_search', true), '')::bigint,
            least(greatest(_least_ef_search, _rows), 1000)) END;
        WITH near AS MATERIALIZED (
            SELECT n.* FROM pgknowbase_store_nearest(
                _store, _space.dimensions, query, _rows, _ef_search, CASE WHEN _plan <> 'exact_filtered' THEN _source END,
                CASE WHEN _plan = 'exact_filtered' THEN _only_sources END,
                CASE WHEN _plan = 'exact_filtered' THEN _only_ids END) AS n
        ), joined AS MATERIALIZED (
            SELECT n.*, e.id AS external_data_id, e.similarity_threshold
            FROM near AS n
            LEFT JOIN LATERAL (
                SELECT x.id, x.similarity_threshold FROM pgknowbase_externaldata AS x
                WHERE x.content_type_id = n.source AND x.object_key = n.id AND pgknowbase_matches_filter(x, filter)
                    AND x.id IS DISTINCT FROM exclude
                OFFSET 0
            ) AS e ON true
        ), passed AS (
            SELECT DISTINCT ON (j.external_data_id) j.* FROM joined AS j
            WHERE j.similarity >= coalesce(filter.threshold, j.similarity_threshold)
            ORDER BY j.external_data_id, j.similarity DESC, j.chunk_seq
        ), best AS (
            SELECT p.* FROM passed AS p ORDER BY p.similarity DESC, p.external_data_id LIMIT _wanted
        )
        SELECT (SELECT count(*) FROM near), (SELECT min(n.similarity) FROM near AS n), (SELECT count(*) FROM passed),
            array_agg(b.external_data_id), array_agg(b.source), array_agg(b.id), array_agg(b.chunk_seq),
            array_agg(b.chunk), array_agg(b.similarity)
        INTO _found, _farthest, _objects, _ids, _sources, _keys, _seqs, _chunks, _similarities
        FROM best AS b;
        EXIT WHEN _objects >= _wanted OR _farthest < coalesce(filter.threshold, pgknowbase_least_threshold(filter.sources));
        IF _found < _rows THEN
            -- All chunks are known; but an index may have given up before.
            EXIT WHEN _plan <> 'walk' OR _found = 0 OR _found >= pgknowbase_store_count(_store, _source, _found + 1);
            _plan := 'retried_exactly';
        END IF;
        _compare := _plan = 'walk' AND _is_narrowed AND _passing IS NULL AND _found > 12 * _objects
            AND (_expected <= exact_search_max_chunks OR 4 * _objects * _objects_known < _found * _expected);
        _rows := _rows * 4;
    END LOOP;
    IF record_plan THEN
        PERFORM set_config('pgknowbase.search_plan', jsonb_build_object(
            'plan', _plan, 'passing', _passing, 'walked', coalesce(_found, 0), 'reranked', NULL, 'ef_search', _ef_search, 'index', NULL,
            'exact_search_max_chunks', exact_search_max_chunks, 'store_bytes', pgknowbase_store_bytes_v1(_space),
            'small_bytes', exact_search_max_chunks::bigint * _space.chunk_bytes)::text, true);
    END IF;
    RETURN QUERY
    SELECT u.source, u.object_key, u.external_data_id, u.chunk_seq, u.chunk, p.span, u.similarity, NULL::float8, u.similarity
    FROM unnest(_sources, _keys, _ids, _seqs, _chunks, _similarities) WITH ORDINALITY AS u (
        source, object_key, external_data_id, chunk_seq, chunk, similarity, place)
    LEFT JOIN pgknowbase_read_shard_documents_v1(_sources, CASE WHEN spans THEN _keys END) AS d
        ON d.source = u.source AND d.id = u.object_key
    LEFT JOIN LATERAL pgknowbase_chunk_offsets(
        u.source, CASE WHEN spans THEN u.object_key END, u.chunk, _space.template, d.content) AS p ON true
    WHERE u.place > greatest(skip, 0)
    ORDER BY u.place;
END
$pgknowbase$;
