-- The objects nearest to a search text in meaning and in words, best first.
--
--   query         the search text
--   vector        the same text, embedded
--   threshold     least similarity of an object that was found by its meaning alone; NULL means each object's own
--   dense_weight  in [0, 1]: what meaning weighs against words where both legs point to the same objects; less where
--                 they do not, since then the model does not know the language, or the words. NULL: that of the active
--                 space, as pgknowbase_fit has found it, else 0.45
--   note_plan     leave what was done in the settings pgknowbase.search_plan, keyword_plan and hybrid_plan, as JSON
--   the others    see pgknowbase_search_dense_v1 and pgknowbase_search_keyword_v1
--
-- The legs bring at least 100 objects each. A similarity counts from 0, that of the hundredth and of all behind it, to
-- 1, the best; a BM25 score as its share of the best one. So, but for what an index or the bounded work misses, a score
-- is the same whatever is asked for, and pages follow each other. The weight falls with the agreement of the legs: how
-- much BM25 gives the ten objects nearest in meaning, as a share of what it gives its own best ten.
--
--   SELECT object_key, score, similarity, keyword_score FROM pgknowbase_search_hybrid_v1('gzip', :'vector', 10);
CREATE OR REPLACE FUNCTION pgknowbase_search_hybrid_v1(
    query text, vector halfvec, max_hits integer, sources integer[] DEFAULT NULL, threshold float8 DEFAULT NULL,
    viewer text DEFAULT NULL, metadata jsonb DEFAULT NULL, matching jsonpath DEFAULT NULL, tags text[] DEFAULT NULL,
    changed_from timestamptz DEFAULT NULL, changed_before timestamptz DEFAULT NULL, object_keys text[] DEFAULT NULL,
    external_data_ids bigint[] DEFAULT NULL, exclude bigint DEFAULT NULL, skip integer DEFAULT 0,
    dense_weight float8 DEFAULT NULL, exact_below integer DEFAULT 15000, space_model text DEFAULT NULL,
    k1 float8 DEFAULT 1.2, b float8 DEFAULT 0.75, most_candidates integer DEFAULT 10000,
    note_plan boolean DEFAULT false)
RETURNS TABLE (
    source integer, object_key text, external_data_id bigint, chunk_seq integer, chunk text, span int4range,
    similarity float8, keyword_score float8, score float8)
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED SECURITY INVOKER ROWS 10 SET search_path FROM CURRENT SET jit = 'off'
AS $pgknowbase$
#variable_conflict use_variable
DECLARE
    _wanted CONSTANT bigint := max_hits::bigint + greatest(skip, 0);
    _depth CONSTANT integer := least(greatest(100, 2 * _wanted), 100000);
    _weight CONSTANT float8 := coalesce(
        dense_weight, (SELECT s.dense_weight FROM pgknowbase_space AS s WHERE s.is_active), 0.45);
BEGIN
    IF query IS NULL OR vector IS NULL OR max_hits IS NULL OR max_hits <= 0 THEN
        RETURN;
    END IF;
    RETURN QUERY
    WITH worded AS MATERIALIZED (
        SELECT w.*, row_number() OVER (ORDER BY w.score DESC, w.external_data_id) AS place
        FROM pgknowbase_bm25_v1(
            query, 5 * _depth, sources, viewer, metadata, matching, tags, changed_from, changed_before, object_keys,
            external_data_ids, exclude, k1, b, most_candidates, note_plan) AS w
    ), near AS MATERIALIZED (
        SELECT n.*, row_number() OVER (ORDER BY n.score DESC, n.external_data_id) AS place
        FROM pgknowbase_search_dense_v1(
            vector, _depth, sources, -1, viewer, metadata, matching, tags, changed_from, changed_before, object_keys,
            external_data_ids, exclude, 0, exact_below, space_model, note_plan, spans => false) AS n
    ), far AS MATERIALIZED (
        SELECT f.* FROM pgknowbase_search_exact_v1(
            vector, _depth, threshold => -1, external_data_ids => ARRAY(
                SELECT w.external_data_id FROM worded AS w WHERE w.place <= _depth
                EXCEPT SELECT n.external_data_id FROM near AS n), spans => false) AS f
    ), embedded AS (
        SELECT n.external_data_id, n.chunk_seq, n.chunk, n.similarity FROM near AS n
        UNION ALL SELECT f.external_data_id, f.chunk_seq, f.chunk, f.similarity FROM far AS f
    ), measured AS (
        SELECT
            (SELECT min(n.similarity) FROM near AS n WHERE n.place <= 100) AS least,
            (SELECT nullif(max(n.similarity) - min(n.similarity), 0) FROM near AS n WHERE n.place <= 100) AS spread,
            (SELECT max(w.score) FROM worded AS w) AS best,
            coalesce(
                (SELECT sum(w.score) FROM worded AS w JOIN near AS n USING (external_data_id) WHERE n.place <= 10)
                / (SELECT nullif(sum(w.score), 0) FROM worded AS w
                    WHERE w.place <= (SELECT least(10, count(*)) FROM near)), 0) AS agreement
    ), weighed AS (
        SELECT m.*, CASE
            WHEN m.best IS NULL THEN 1
            WHEN m.least IS NULL THEN 0
            ELSE _weight * least(1, m.agreement / 0.7)
        END AS weight
        FROM measured AS m
    ), noted AS MATERIALIZED (
        SELECT w.*, CASE WHEN note_plan THEN set_config('pgknowbase.hybrid_plan', jsonb_build_object(
            'weight', w.weight, 'agreement', w.agreement, 'dense_weight', _weight, 'depth', _depth,
            'near', (SELECT count(*) FROM near), 'worded', (SELECT count(*) FROM worded))::text, true) END
        FROM weighed AS w
    ), fused AS (
        SELECT e.id AS external_data_id, e.content_type_id AS source, e.object_key, v.chunk_seq, v.chunk, v.similarity,
            w.score AS keyword_score,
            m.weight * greatest(coalesce((v.similarity - m.least) / m.spread, 0), 0)
                + (1 - m.weight) * coalesce(w.score / m.best, 0) AS score
        FROM embedded AS v
        FULL JOIN worded AS w ON w.external_data_id = v.external_data_id
        JOIN pgknowbase_externaldata AS e ON e.id = coalesce(v.external_data_id, w.external_data_id)
        CROSS JOIN noted AS m
        WHERE w.place <= _depth OR v.similarity >= coalesce(threshold, e.similarity_threshold)
        ORDER BY 8 DESC, 1
        LIMIT max_hits OFFSET greatest(skip, 0)
    )
    SELECT f.source, f.object_key, f.external_data_id, f.chunk_seq, f.chunk, p.span, f.similarity, f.keyword_score,
        f.score
    FROM fused AS f
    LEFT JOIN pgknowbase_space AS s ON s.is_active
    LEFT JOIN LATERAL pgknowbase_span_v1(f.source, f.object_key, f.chunk, s.template) AS p ON true
    ORDER BY f.score DESC, f.external_data_id;
END
$pgknowbase$;
