-- The objects nearest to a query vector by cosine similarity, best first, one hit per object: its best chunk.
--
--   query         vector of the active space's dimensions
--   max_hits      how many objects at most
--   filter        see the type pgknowbase_filter, made by pgknowbase_filter_v1; NULL filters nothing
--   exclude       external data id to leave out
--   skip          how many of the best to leave out
--   exact_search_max_chunks   an index of about as many chunks is searched exactly, because the vector index can miss a vector that
--                 lies far from all others; in a larger one, as many objects are where the filters let fewer than one in twelve
--                 pass, or so few that the walk for max_hits would cost more. All are compared as long as there is no vector
--                 index, which a worker builds after a load
--   space_model   raise PK001 unless the active space is of this model
--   record_plan   record what was done, and why, in the setting pgknowbase.search_plan of this transaction, as JSON
--   spans         false leaves them out
--   best_hits     how many of the first hits the vector index should not miss, all without it. The others may be a little farther than some
--                 that it has not looked at, and it has less to do
--
-- The score is the similarity. A span is where the chunk stands in the document's content, in characters from 0.
--
-- Otherwise the vector index, that of the only source where it has one (pgknowbase_space index --model), is walked
-- outwards from the query until max_hits objects have passed, or no better one can follow; a binary index as
-- pgknowbase_search_binary tells. The index holds one chunk of each vector, and its copies follow it. Where filters let few
-- pass, or the index gives up early, the answer comes from pgknowbase_search_exact_v1.
--
--   SELECT object_key, similarity, chunk FROM pgknowbase_search_dense_v1(
--       (SELECT embedding FROM pgknowbase_chunk LIMIT 1), 10);
DO $pgknowbase$ BEGIN PERFORM '[1]'::vector; END $pgknowbase$; -- loads pgvector, so that its settings are known below
CREATE OR REPLACE FUNCTION pgknowbase_search_dense_v1(
    query halfvec, max_hits integer, filter pgknowbase_filter DEFAULT NULL, exclude bigint DEFAULT NULL,
    skip integer DEFAULT 0, exact_search_max_chunks integer DEFAULT 15000, space_model text DEFAULT NULL,
    record_plan boolean DEFAULT false, spans boolean DEFAULT true, best_hits integer DEFAULT NULL)
RETURNS SETOF pgknowbase_hit
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED SECURITY INVOKER ROWS 10
SET search_path FROM CURRENT
SET hnsw.iterative_scan = 'strict_order'
SET hnsw.ef_search = 100
-- One plan serves every call, and it walks the index: planning would cost more than the search.
SET plan_cache_mode = 'force_generic_plan'
SET enable_seqscan = 'off'
SET jit = 'off'
SET enable_sort = 'off'
AS $pgknowbase$
#variable_conflict use_variable
DECLARE
    _filtered CONSTANT boolean := num_nonnulls(
        filter.visible_to, filter.metadata, filter.matching, filter.tags, filter.changed_from, filter.changed_before,
        filter.conditions) > 0;
    _wanted CONSTANT bigint := max_hits::bigint + greatest(skip, 0);
    _space record;
    _ef_search text;
    _source integer;
    _index text;
    _least float8 := filter.threshold;
    _first_pause CONSTANT bigint := 2 * _wanted + 60;
    _pause bigint := _first_pause;
    _walked bigint := 0;
    _reranked bigint;
    _objects float8;
    _expected bigint;
    _share float8 := 1; -- of all objects, how many the sources and filters are expected to let pass
    _is_narrowed boolean;
    _passing bigint := coalesce(cardinality(filter.object_keys), cardinality(filter.external_data_ids));
    _plan text := CASE WHEN _passing IS NULL THEN 'walk' ELSE 'exact_filtered' END;
    _walks_on boolean; -- whether the index does, where what it takes at a time does not suffice
    _enough boolean := false;
    _pending bigint := max_hits::bigint + greatest(skip, 0);
    _next record;
    _found record;
    _ids bigint[] := '{}'; -- of chunks: an object may be there several times
    _sources integer[];
    _keys text[];
    _seqs integer[];
    _chunks text[];
    _similarities float8[];
    -- A loop over a cursor takes row by row, one over a query ten and then fifty.
    _walk CURSOR FOR
        SELECT r.source, n.id, n.chunk_seq, n.chunk, n.is_copy, 1 - r.distance AS similarity,
            e.id AS external_data_id, e.similarity_threshold
        FROM (
            SELECT c.source, c.id, c.chunk_seq, c.chunk, c.vector_key, c.embedding <=> query AS distance
            FROM pgknowbase_chunk AS c WHERE NOT c.is_copy AND (_source IS NULL OR c.source = _source)
            ORDER BY c.embedding <=> query
        ) AS r
        CROSS JOIN LATERAL (
            SELECT k.id, k.chunk_seq, k.chunk, k.is_copy FROM pgknowbase_chunk AS k
            WHERE k.vector_key = r.vector_key AND k.is_copy
            UNION ALL
            SELECT r.id, r.chunk_seq, r.chunk, false
        ) AS n
        LEFT JOIN LATERAL (
            SELECT x.id, x.similarity_threshold FROM pgknowbase_externaldata AS x
            WHERE (filter.sources IS NULL OR r.source = ANY (filter.sources)) -- known without reading x
                AND x.content_type_id = r.source AND x.object_key = n.id
                AND pgknowbase_matches_filter(x, filter)
                AND x.id IS DISTINCT FROM exclude
            OFFSET 0
        ) AS e ON true
        ORDER BY r.distance;
BEGIN
    IF query IS NULL OR max_hits IS NULL OR max_hits <= 0 THEN
        RETURN;
    END IF;
    IF l2_norm(query) = 0 THEN
        RAISE EXCEPTION 'a query vector of zeros has no direction' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    -- By its size, because counting would cost more than the search.
    SELECT s.model, s.template, s.distributed, s.ef_search, s.index, s.store_schema, s.store_table,
        exact_search_max_chunks::bigint * s.chunk_bytes AS small,
        CASE _plan WHEN 'walk' THEN pg_table_size(format('%I.%I', s.store_schema, s.store_table)::regclass) END AS size,
        _plan = 'walk' AND EXISTS (
            SELECT FROM pg_index AS i
            WHERE i.indexrelid = to_regclass(format('%I.%I', s.store_schema, s.store_table || '_hnsw')) AND i.indisvalid) AS indexed
    INTO _space FROM pgknowbase_space AS s WHERE s.is_active;
    IF _space.model IS DISTINCT FROM coalesce(space_model, _space.model) THEN
        RAISE EXCEPTION 'the active embedding space is not of model %', space_model USING ERRCODE = 'PK001';
    END IF;
    IF _space.distributed THEN
        RETURN QUERY SELECT * FROM pgknowbase_search_shards(
            query, max_hits, filter, exclude, skip, exact_search_max_chunks, false, record_plan, spans);
        RETURN;
    END IF;
    IF _space.size <= _space.small THEN
        _plan := 'exact_index';
    ELSIF _plan = 'walk' AND _space.index = 'binary' THEN
        _plan := 'walk_binary';
    END IF;

    IF _plan IN ('walk', 'walk_binary') AND cardinality(filter.sources) = 1 THEN
        SELECT filter.sources[1], i.indexrelid::regclass::text INTO _source, _index FROM pg_index AS i
        WHERE i.indexrelid = to_regclass(
                format('%I.%I', _space.store_schema, _space.store_table || '_hnsw_' || filter.sources[1]))
            AND i.indisvalid;
        IF _source IS NOT NULL THEN
            -- The planner takes an index of one source only where it knows that source.
            PERFORM set_config('plan_cache_mode', 'force_custom_plan', true);
        END IF;
    END IF;
    IF _plan IN ('walk', 'walk_binary') AND _source IS NULL AND NOT _space.indexed THEN
        _plan := 'exact_unindexed'; -- a load is under way: see pgknowbase_indexes_due_v1
    END IF;
    _is_narrowed := _filtered OR filter.sources IS NOT NULL AND _source IS NULL;
    IF _plan IN ('walk', 'walk_binary') AND _is_narrowed THEN
        SELECT greatest(c.reltuples, 1) INTO _objects FROM pg_class AS c WHERE c.oid = 'pgknowbase_externaldata'::regclass;
        IF NOT _filtered THEN
            -- How many objects sources have is known where most have words, and the planner takes ten times as long to say it.
            SELECT CASE WHEN 2 * sum(c.documents) > _objects THEN sum(c.documents) FILTER (WHERE c.source = ANY (filter.sources)) END
            INTO _expected FROM pgknowbase_corpus AS c;
        END IF;
        -- The walk would be in vain where few pass. If more do than is believed, they are not compared after all.
        _expected := coalesce(_expected, pgknowbase_estimate_matching(filter));
        _share := _expected / _objects;
        -- An object of the walk costs about 16 times as much as one that is compared, and for each hit as many are walked as there
        -- are for each that passes.
        IF _expected <= exact_search_max_chunks
            AND (12 * _expected < _objects OR _expected::float8 * _expected < 16 * _wanted * _objects)
        THEN
            SELECT f.* INTO STRICT _found
            FROM pgknowbase_compare_passing(query, _wanted, filter, exclude, exact_search_max_chunks) AS f;
            _passing := _found.passing;
            IF _passing <= exact_search_max_chunks THEN
                _plan := 'exact_filtered';
            END IF;
        END IF;
    END IF;
    IF _plan IN ('walk', 'walk_binary') THEN
        -- The clause above puts it back when the function returns. The setting is that of a measurement, for a transaction.
        _ef_search := set_config('hnsw.ef_search', coalesce(
            nullif(current_setting('pgknowbase.ef_search', true), ''),
            pgknowbase_ef_search_v1(
                least(_wanted, ceil(best_hits / nullif(_share, 0))::bigint), _filtered, _space.ef_search, _space.index
            )::text), true);
    END IF;
    IF _plan = 'walk_binary' THEN
        SELECT w.* INTO STRICT _next FROM pgknowbase_search_binary(
            query, _wanted, greatest(_ef_search::bigint, 2 * _wanted), _source, filter, exclude, exact_search_max_chunks) AS w;
        _plan := _next.plan;
        _walked := _next.walked;
        _passing := _next.passing;
        _reranked := _next.reranked;
        _ids := _next.ids;
        _sources := _next.hit_sources;
        _keys := _next.keys;
        _seqs := _next.seqs;
        _chunks := _next.chunks;
        _similarities := _next.similarities;
    ELSIF _plan = 'walk' THEN
        -- Candidates that the index remembers for walking on cost it 6 % of a walk, and few searches need them.
        _walks_on := _filtered OR _ef_search::float8 * _share < 5 * _wanted;
        LOOP
            PERFORM set_config('hnsw.iterative_scan', CASE WHEN _walks_on THEN 'strict_order' ELSE 'off' END, true);
            FOR _next IN _walk LOOP
                _walked := _walked + 1;
                IF _next.similarity < _least THEN
                    _enough := true;
                    EXIT;
                END IF;
                IF _next.external_data_id IS NOT NULL
                    AND _next.similarity >= coalesce(filter.threshold, _next.similarity_threshold)
                THEN
                    _ids := _ids || _next.external_data_id;
                    _sources := _sources || _next.source;
                    _keys := _keys || _next.id;
                    _seqs := _seqs || _next.chunk_seq;
                    _chunks := _chunks || _next.chunk;
                    _similarities := _similarities || _next.similarity;
                    _pending := _pending - 1;
                    IF _pending = 0 THEN
                        -- Objects are counted only where there may be enough. To look for each among those before it would
                        -- cost the square of their number.
                        _pending := _wanted - (SELECT count(DISTINCT u.id) FROM unnest(_ids) AS u (id));
                        _enough := _pending = 0;
                    END IF;
                END IF;
                -- The external data id decides between copies, so all are read; the last of them is the one in the index.
                EXIT WHEN _enough AND (NOT _next.is_copy OR _walked >= exact_search_max_chunks);
                IF _walked = _pause AND NOT _enough THEN
                    _pause := _pause * 4;
                    EXIT WHEN _walked > current_setting('hnsw.max_scan_tuples')::bigint; -- which leaves copies out
                    -- Far from the query the walk misses neighbours, so few objects are better all compared. Where more are
                    -- expected to pass than are compared, that would be in vain, unless of those to be expected so far less than
                    -- a quarter have passed: then there are fewer, or they are far away.
                    IF _is_narrowed AND _passing IS NULL AND _walked > 12 * cardinality(_ids)
                        AND (_expected <= exact_search_max_chunks
                            OR _walked * _share >= 3 AND 4 * cardinality(_ids) < _walked * _share) THEN
                        SELECT f.* INTO STRICT _found
                        FROM pgknowbase_compare_passing(query, _wanted, filter, exclude, exact_search_max_chunks) AS f;
                        _passing := _found.passing;
                        IF _passing <= exact_search_max_chunks THEN
                            _plan := 'exact_filtered';
                            EXIT;
                        END IF;
                    END IF;
                    _least := coalesce(_least, pgknowbase_least_threshold(filter.sources));
                END IF;
            END LOOP;
            -- Asked by itself, because a condition with a SELECT in it costs a plan each time.
            EXIT WHEN _plan <> 'walk' OR _enough;
            EXIT WHEN _walked >= (SELECT count(*) FROM (
                SELECT 1 FROM pgknowbase_chunk AS c WHERE (_source IS NULL OR c.source = _source) LIMIT _walked + 1) AS present);
            IF _walks_on THEN
                _plan := 'retried_exactly';
                EXIT;
            END IF;
            _walks_on := true;
            _walked := 0;
            _pause := _first_pause;
            _pending := _wanted;
            _ids := '{}';
            _sources := NULL;
            _keys := NULL;
            _seqs := NULL;
            _chunks := NULL;
            _similarities := NULL;
        END LOOP;
    END IF;

    IF record_plan THEN
        PERFORM set_config('pgknowbase.search_plan', jsonb_build_object(
            'plan', _plan, 'passing', _passing, 'walked', _walked, 'reranked', _reranked,
            'ef_search', _ef_search::integer, 'index', _index, 'exact_search_max_chunks', exact_search_max_chunks, 'store_bytes', _space.size,
            'small_bytes', _space.small)::text, true);
    END IF;
    IF _plan NOT IN ('walk', 'walk_binary') THEN
        IF _plan <> 'exact_filtered' OR _found IS NULL THEN
            SELECT f.* INTO STRICT _found FROM pgknowbase_compare_passing(query, _wanted, filter, exclude, NULL) AS f;
        END IF;
        _ids := _found.ids;
        _sources := _found.hit_sources;
        _keys := _found.keys;
        _seqs := _found.seqs;
        _chunks := _found.chunks;
        _similarities := _found.similarities;
    END IF;
    RETURN QUERY
    SELECT h.source, h.object_key, h.external_data_id, h.chunk_seq, h.chunk, p.span, h.similarity, NULL::float8,
        h.similarity
    FROM (
        SELECT b.* FROM (
            SELECT DISTINCT ON (u.external_data_id) u.*
            FROM unnest(_sources, _keys, _ids, _seqs, _chunks, _similarities) AS u (
                source, object_key, external_data_id, chunk_seq, chunk, similarity)
            ORDER BY u.external_data_id, u.similarity DESC
        ) AS b
        ORDER BY b.similarity DESC, b.external_data_id LIMIT max_hits OFFSET greatest(skip, 0)
    ) AS h
    LEFT JOIN pgknowbase_read_shard_documents_v1(_sources, CASE WHEN spans THEN _keys END) AS d
        ON d.source = h.source AND d.id = h.object_key
    LEFT JOIN LATERAL pgknowbase_chunk_offsets(
        h.source, CASE WHEN spans THEN h.object_key END, h.chunk, _space.template, d.content) AS p ON true
    ORDER BY h.similarity DESC, h.external_data_id;
END
$pgknowbase$;
