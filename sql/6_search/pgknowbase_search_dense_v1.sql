-- The objects nearest to a query vector by cosine similarity, best first, one hit per object: its best chunk.
--
--   query         vector of the active space's dimensions
--   max_hits      how many objects at most
--   sources       content type ids of the source models; NULL means all
--   threshold     least similarity in [-1, 1]; NULL means each object's own
--   viewer        NULL: no restriction; '': public objects only; a user's id: public ones and those the user owns
--   metadata      the object's metadata must contain this
--   tags          the object must have all of these
--   object_keys   only the objects of these keys; searched exactly
--   external_data_ids   only these objects; searched exactly
--   exclude       external data id to leave out
--   exact_below   where at most this many objects pass the filters, they are all compared, without the index, which
--                 can miss a vector that lies far from all others
--   space_model   raise PK001 unless the active space is of this model
--
-- Otherwise candidates come from the vector index and are filtered after, in widening rounds, until max_hits pass or
-- no better one can follow. Where the index gives up early, the answer comes from an exact scan.
--
--   SELECT object_key, similarity, chunk FROM pgknowbase_search_dense_v1(
--       (SELECT embedding FROM pgknowbase_chunk LIMIT 1), 10);
DO $pgknowbase$ BEGIN PERFORM '[1]'::vector; END $pgknowbase$; -- loads pgvector, so that its settings are known below
CREATE OR REPLACE FUNCTION pgknowbase_search_dense_v1(
    query halfvec, max_hits integer, sources integer[] DEFAULT NULL, threshold float8 DEFAULT NULL,
    viewer text DEFAULT NULL, metadata jsonb DEFAULT NULL, tags text[] DEFAULT NULL, object_keys text[] DEFAULT NULL,
    external_data_ids bigint[] DEFAULT NULL, exclude bigint DEFAULT NULL, exact_below integer DEFAULT 10000, space_model text DEFAULT NULL)
RETURNS TABLE (
    source integer, object_key text, external_data_id bigint, chunk_seq integer, chunk text, similarity float8)
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED SECURITY INVOKER
SET search_path FROM CURRENT
SET hnsw.iterative_scan = 'strict_order'
SET hnsw.ef_search = 100
SET plan_cache_mode = 'force_custom_plan'
AS $pgknowbase$
#variable_conflict use_variable
DECLARE
    _exact boolean := object_keys IS NOT NULL OR external_data_ids IS NOT NULL;
    _wanted integer := max_hits * 4 + 16;
    _least float8 := threshold;
    _scanned bigint;
    _worst float8;
    _hits bigint[];
    _seqs integer[];
    _similarities float8[];
BEGIN
    IF max_hits <= 0 THEN
        RETURN;
    END IF;
    IF space_model IS NOT NULL AND NOT EXISTS (
        SELECT 1 FROM pgknowbase_space AS s WHERE s.is_active AND s.model = space_model
    ) THEN
        RAISE EXCEPTION 'the active embedding space is not of model %', space_model USING ERRCODE = 'PK001';
    END IF;
    IF NOT _exact THEN
        _exact := (
            SELECT count(*) <= exact_below FROM (
                SELECT 1 FROM pgknowbase_externaldata AS e
                WHERE (sources IS NULL OR e.content_type_id = ANY (sources))
                    AND (viewer IS NULL OR e.is_public OR e.owner_id::text = viewer)
                    AND (metadata IS NULL OR e.metadata @> metadata) AND (tags IS NULL OR e.tags @> tags)
                LIMIT exact_below + 1
            ) AS passing);
    END IF;
    IF _least IS NULL AND NOT _exact THEN
        _least := (
            SELECT min(lowest.threshold) FROM (
                SELECT (
                    SELECT e.similarity_threshold FROM pgknowbase_externaldata AS e WHERE e.content_type_id = t.id
                    ORDER BY e.similarity_threshold LIMIT 1
                ) AS threshold
                FROM django_content_type AS t WHERE sources IS NULL OR t.id = ANY (sources)
            ) AS lowest);
    END IF;

    WHILE NOT _exact LOOP
        WITH candidate AS MATERIALIZED (
            SELECT c.source, c.id, c.chunk_seq, c.embedding <=> query AS distance
            FROM pgknowbase_chunk AS c
            WHERE sources IS NULL OR c.source = ANY (sources)
            ORDER BY c.embedding <=> query
            LIMIT _wanted
        ), best AS (
            SELECT DISTINCT ON (n.source, n.id) n.source, n.id, n.chunk_seq, n.distance
            FROM candidate AS n ORDER BY n.source, n.id, n.distance
        ), hit AS (
            SELECT e.id, b.chunk_seq, b.distance
            FROM best AS b JOIN pgknowbase_externaldata AS e ON e.content_type_id = b.source AND e.object_key = b.id
            WHERE 1 - b.distance >= coalesce(threshold, e.similarity_threshold) AND e.is_active
                AND (viewer IS NULL OR e.is_public OR e.owner_id::text = viewer)
                AND (metadata IS NULL OR e.metadata @> metadata) AND (tags IS NULL OR e.tags @> tags)
                AND e.id IS DISTINCT FROM exclude
            ORDER BY b.distance, e.id
            LIMIT max_hits
        )
        SELECT (SELECT count(*) FROM candidate), (SELECT 1 - max(n.distance) FROM candidate AS n),
            array_agg(h.id ORDER BY h.distance, h.id), array_agg(h.chunk_seq ORDER BY h.distance, h.id),
            array_agg(1 - h.distance ORDER BY h.distance, h.id)
        INTO _scanned, _worst, _hits, _seqs, _similarities
        FROM hit AS h;
        EXIT WHEN coalesce(cardinality(_hits), 0) >= max_hits OR _worst < _least;
        IF _scanned < _wanted THEN
            _exact := _scanned < (
                SELECT count(*) FROM (
                    SELECT 1 FROM pgknowbase_chunk AS c WHERE sources IS NULL OR c.source = ANY (sources) LIMIT _wanted
                ) AS present);
            EXIT;
        END IF;
        _wanted := _wanted * 4;
    END LOOP;

    IF _exact THEN
        WITH best AS (
            SELECT DISTINCT ON (e.id) e.id, c.chunk_seq, c.embedding <=> query AS distance, e.similarity_threshold
            FROM pgknowbase_externaldata AS e
            JOIN pgknowbase_chunk AS c ON c.source = e.content_type_id AND c.id = e.object_key
            WHERE e.is_active AND (sources IS NULL OR e.content_type_id = ANY (sources))
                AND (object_keys IS NULL OR e.object_key = ANY (object_keys))
                AND (external_data_ids IS NULL OR e.id = ANY (external_data_ids))
                AND (viewer IS NULL OR e.is_public OR e.owner_id::text = viewer)
                AND (metadata IS NULL OR e.metadata @> metadata) AND (tags IS NULL OR e.tags @> tags)
                AND e.id IS DISTINCT FROM exclude
            ORDER BY e.id, distance
        ), hit AS (
            SELECT b.id, b.chunk_seq, b.distance FROM best AS b
            WHERE 1 - b.distance >= coalesce(threshold, b.similarity_threshold)
            ORDER BY b.distance, b.id
            LIMIT max_hits
        )
        SELECT array_agg(h.id ORDER BY h.distance, h.id), array_agg(h.chunk_seq ORDER BY h.distance, h.id),
            array_agg(1 - h.distance ORDER BY h.distance, h.id)
        INTO _hits, _seqs, _similarities
        FROM hit AS h;
    END IF;

    RETURN QUERY
    SELECT c.source, c.id, e.id, c.chunk_seq, c.chunk, h.similarity
    FROM unnest(_hits, _seqs, _similarities) WITH ORDINALITY AS h (id, seq, similarity, place)
    JOIN pgknowbase_externaldata AS e ON e.id = h.id
    JOIN pgknowbase_chunk AS c ON c.source = e.content_type_id AND c.id = e.object_key AND c.chunk_seq = h.seq
    ORDER BY h.place;
END
$pgknowbase$;
