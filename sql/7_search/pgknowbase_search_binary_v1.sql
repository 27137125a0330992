-- The walk of pgknowbase_search_dense_v1, which calls it and has its parameters, along a binary index, and the re-ranking.
--
--   wanted        how many objects at most
--   candidates    how many objects to take from the index before they are re-ranked
--   only_source   walk the index of this source
--
-- The index holds the sign of each component, and the walk goes by how many signs differ from the query's: a rough order.
-- So it goes on until `candidates` objects pass the filters and their thresholds, or as many chunks lie below every
-- threshold. Each is compared with the query by its stored vector, and the nearest are returned, in arrays of one length.
-- plan: 'walk_binary'; 'exact_filtered' where filters let few pass; 'retried_exactly' where the index gives up early.
--
-- Planner settings and hnsw.ef_search are its caller's. The order of the walk does not matter, so nothing is left out for it.
DO $pgknowbase$ BEGIN PERFORM '[1]'::vector; END $pgknowbase$; -- loads pgvector, so that its settings are known below
CREATE OR REPLACE FUNCTION pgknowbase_search_binary_v1(
    query halfvec, wanted bigint, candidates bigint, only_source integer, sources integer[], threshold float8,
    viewer text, metadata jsonb, matching jsonpath, tags text[], changed_from timestamptz, changed_before timestamptz,
    exclude bigint, exact_below integer,
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
    _narrowed CONSTANT boolean :=
        viewer IS NOT NULL OR metadata IS NOT NULL OR matching IS NOT NULL OR tags IS NOT NULL
        OR changed_from IS NOT NULL OR changed_before IS NOT NULL OR sources IS NOT NULL AND only_source IS NULL;
    _first_pause CONSTANT bigint := 2 * wanted + 60;
    _least float8 := threshold;
    _objects bigint[] := '{}';
    _passed bigint := 0;
    _below bigint := 0;
    _enough boolean := false;
    _next record;
    _ids bigint[] := '{}';
    _sources integer[] := '{}';
    _keys text[] := '{}';
    _seqs integer[] := '{}';
    _similarities float8[] := '{}';
BEGIN
    plan := 'walk_binary';
    walked := 0;
    FOR _next IN
        SELECT n.source, n.id, n.chunk_seq, e.*
        FROM (
            SELECT c.source, c.id, c.chunk_seq, c.embedding, c.bits <~> _signs AS distance
            FROM pgknowbase_chunk AS c WHERE (only_source IS NULL OR c.source = only_source)
            ORDER BY c.bits <~> _signs
        ) AS n
        LEFT JOIN LATERAL (
            SELECT x.id AS external_data_id, x.similarity_threshold, 1 - (n.embedding <=> query) AS similarity
            FROM pgknowbase_externaldata AS x
            WHERE (sources IS NULL OR n.source = ANY (sources)) -- known without reading x
                AND x.content_type_id = n.source AND x.object_key = n.id
                AND pgknowbase_passes_v1(x, NULL, viewer, metadata, matching, tags, changed_from, changed_before)
                AND x.id IS DISTINCT FROM exclude
            OFFSET 0
        ) AS e ON true
        ORDER BY n.distance
    LOOP
        walked := walked + 1;
        IF _next.external_data_id IS NOT NULL THEN
            _passed := _passed + 1;
            IF _next.similarity >= coalesce(threshold, _next.similarity_threshold) THEN
                _ids := _ids || _next.external_data_id;
                _sources := _sources || _next.source;
                _keys := _keys || _next.id;
                _seqs := _seqs || _next.chunk_seq;
                _similarities := _similarities || _next.similarity;
                IF _next.external_data_id <> ALL (_objects) THEN
                    _objects := _objects || _next.external_data_id;
                END IF;
            ELSIF _next.similarity < _least THEN
                _below := _below + 1;
            END IF;
            _enough := cardinality(_objects) >= candidates OR _below >= candidates;
            EXIT WHEN _enough;
        END IF;
        IF walked = _first_pause THEN
            -- Far from the query the walk misses neighbours, so few objects are better all compared.
            IF _narrowed AND walked > 12 * _passed THEN
                passing := pgknowbase_search_passing_v1(
                    exact_below + 1, sources, viewer, metadata, matching, tags, changed_from, changed_before);
                IF passing <= exact_below THEN
                    plan := 'exact_filtered';
                    RETURN;
                END IF;
            END IF;
            _least := coalesce(_least, pgknowbase_least_threshold_v1(sources));
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
