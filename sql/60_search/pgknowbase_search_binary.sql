-- The walk of pgknowbase_search_dense_v1, which calls it and has its parameters, along a binary index, and the re-ranking.
--
--   wanted        how many objects at most
--   candidates    how many objects to take from the index before they are re-ranked
--   only_source   walk the index of this source
--
-- The index holds the sign of each component, and the walk goes by how many signs differ from the query's: a rough order.
-- So it goes on until `candidates` objects of different vectors pass the filters and their thresholds, or as many vectors
-- lie below every threshold. Each is compared with the query by its stored vector, and the nearest are returned, in arrays
-- of one length.
-- plan: 'walk_binary'; 'exact_filtered' where filters let few pass; 'retried_exactly' where the index gives up early.
--
-- Planner settings and hnsw.ef_search are its caller's. The order of the walk does not matter, so nothing is left out for it.
DO $pgknowbase$ BEGIN PERFORM '[1]'::vector; END $pgknowbase$; -- loads pgvector, so that its settings are known below
CREATE OR REPLACE FUNCTION pgknowbase_search_binary(
    query halfvec, wanted bigint, candidates bigint, only_source integer, filter pgknowbase_filter, exclude bigint,
    exact_search_max_chunks integer,
    OUT plan text, OUT walked bigint, OUT passing bigint, OUT reranked bigint, OUT ids bigint[], OUT hit_sources integer[],
    OUT keys text[], OUT seqs integer[], OUT chunks text[], OUT similarities float8[])
RETURNS record
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED SECURITY INVOKER
SET search_path FROM CURRENT
SET hnsw.iterative_scan = 'relaxed_order'
AS $pgknowbase$
#variable_conflict use_variable
DECLARE
    _signs CONSTANT "bit" := binary_quantize(query);
    _narrowed CONSTANT boolean := num_nonnulls(
        filter.visible_to, filter.metadata, filter.matching, filter.tags, filter.changed_from, filter.changed_before) > 0
        OR filter.sources IS NOT NULL AND only_source IS NULL;
    _first_pause CONSTANT bigint := 2 * wanted + 60;
    _pause bigint := _first_pause;
    _least float8 := filter.threshold;
    _objects bigint[] := '{}';
    _passed bigint := 0;
    _below bigint := 0;
    _enough boolean := false;
    _next record;
    _vector uuid;
    _is_first boolean;
    _ids bigint[] := '{}';
    _sources integer[] := '{}';
    _keys text[] := '{}';
    _seqs integer[] := '{}';
    _similarities float8[] := '{}';
BEGIN
    plan := 'walk_binary';
    walked := 0;
    FOR _next IN
        SELECT r.source, r.vector_key, n.id, n.chunk_seq, e.*
        FROM (
            SELECT c.source, c.id, c.chunk_seq, c.embedding, c.vector_key, c.bits <~> _signs AS distance
            FROM pgknowbase_chunk AS c WHERE NOT c.is_copy AND (only_source IS NULL OR c.source = only_source)
            ORDER BY c.bits <~> _signs
        ) AS r
        CROSS JOIN LATERAL (
            SELECT k.id, k.chunk_seq FROM pgknowbase_chunk AS k WHERE k.vector_key = r.vector_key AND k.is_copy
            UNION ALL
            SELECT r.id, r.chunk_seq
        ) AS n
        LEFT JOIN LATERAL (
            SELECT x.id AS external_data_id, x.similarity_threshold, 1 - (r.embedding <=> query) AS similarity
            FROM pgknowbase_externaldata AS x
            WHERE (filter.sources IS NULL OR r.source = ANY (filter.sources)) -- known without reading x
                AND x.content_type_id = r.source AND x.object_key = n.id
                AND pgknowbase_matches_filter(x, filter)
                AND x.id IS DISTINCT FROM exclude
            OFFSET 0
        ) AS e ON true
        ORDER BY r.distance
    LOOP
        walked := walked + 1;
        IF _next.external_data_id IS NOT NULL THEN
            _passed := _passed + 1;
            _is_first := _next.vector_key IS DISTINCT FROM _vector;
            _vector := _next.vector_key;
            IF _next.similarity >= coalesce(filter.threshold, _next.similarity_threshold) THEN
                _ids := _ids || _next.external_data_id;
                _sources := _sources || _next.source;
                _keys := _keys || _next.id;
                _seqs := _seqs || _next.chunk_seq;
                _similarities := _similarities || _next.similarity;
                IF _is_first AND _next.external_data_id <> ALL (_objects) THEN
                    _objects := _objects || _next.external_data_id;
                END IF;
            ELSIF _is_first AND _next.similarity < _least THEN
                _below := _below + 1;
            END IF;
            _enough := cardinality(_objects) >= candidates OR _below >= candidates;
            EXIT WHEN _enough;
        END IF;
        IF walked = _pause THEN
            _pause := _pause * 4;
            EXIT WHEN walked > current_setting('hnsw.max_scan_tuples')::bigint; -- which leaves copies out
            -- Far from the query the walk misses neighbours, so few objects are better all compared.
            IF _narrowed AND walked = _first_pause AND walked > 12 * _passed THEN
                passing := pgknowbase_count_matching(filter, exact_search_max_chunks + 1);
                IF passing <= exact_search_max_chunks THEN
                    plan := 'exact_filtered';
                    RETURN;
                END IF;
            END IF;
            _least := coalesce(_least, pgknowbase_least_threshold(filter.sources));
        END IF;
    END LOOP;
    reranked := cardinality(_ids);
    IF NOT _enough AND walked < (SELECT count(*) FROM (
        SELECT 1 FROM pgknowbase_chunk AS c WHERE (only_source IS NULL OR c.source = only_source) LIMIT walked + 1) AS present)
    THEN
        plan := 'retried_exactly';
        RETURN;
    END IF;
    SELECT array_agg(h.id), array_agg(h.source), array_agg(h.key), array_agg(h.seq), array_agg(c.chunk),
        array_agg(h.similarity)
    INTO ids, hit_sources, keys, seqs, chunks, similarities
    FROM (
        SELECT b.* FROM (
            SELECT DISTINCT ON (u.id) u.*
            FROM unnest(_ids, _sources, _keys, _seqs, _similarities) AS u (id, source, key, seq, similarity)
            ORDER BY u.id, u.similarity DESC
        ) AS b ORDER BY b.similarity DESC, b.id LIMIT wanted
    ) AS h
    JOIN pgknowbase_chunk AS c ON c.source = h.source AND c.id = h.key AND c.chunk_seq = h.seq;
END
$pgknowbase$;
