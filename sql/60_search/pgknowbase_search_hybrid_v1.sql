-- The objects nearest to a search text in meaning and in words, best first.
--
--   query         the search text
--   vector        the same text, embedded; of one with phrases, exclusions and so on, what pgknowbase_plain_query_v1 makes of it
--   filter        its threshold is the least similarity of an object that was found by its meaning alone
--   dense_weight  in [0, 1]: what meaning weighs against words where both rankings point to the same objects; less where
--                 they do not, since then the model does not know the language, or the words. NULL: that of the active
--                 space, as pgknowbase_tune weight saved it, else 0.45, which suits models of language
--   record_plan   leave what was done in the settings pgknowbase.search_plan, keyword_plan and hybrid_plan, as JSON
--   the others    see pgknowbase_search_dense_v1 and pgknowbase_search_keyword_v1
--
-- The ranking by meaning brings at least 100 objects, of which the vector index should not miss the first 60, that by words at
-- least 30, and the scores of those 100: what words rank lower and is not near in meaning does not come before these. A similarity counts from 0, that of the hundredth and of all behind it, to
-- 1, the best; a BM25 score, also of what is near in meaning alone, as its share of the best one. So, but for what an index or
-- the bounded work misses, a score is the same whatever is asked for, and pages follow each other. The weight falls with the agreement of the rankings: how
-- much BM25 gives the ten objects nearest in meaning, as a share of what it gives its own best ten. Rankings that do not
-- agree say nothing against meaning where words cannot find the text: if of its words even that of the ten best objects
-- which has most of them has only few (pgknowbase_word_coverage), as where the text is in another language, the weight
-- rises: towards 1 with a dense_weight from 0.45 on, and with less, as of a weak model, towards its share of 0.45.
--
--   SELECT object_key, score, similarity, keyword_score FROM pgknowbase_search_hybrid_v1('gzip', :'vector', 10);
CREATE OR REPLACE FUNCTION pgknowbase_search_hybrid_v1(
    query text, vector halfvec, max_hits integer, filter pgknowbase_filter DEFAULT NULL, exclude bigint DEFAULT NULL,
    skip integer DEFAULT 0, dense_weight float8 DEFAULT NULL, exact_search_max_chunks integer DEFAULT 15000,
    space_model text DEFAULT NULL, most_candidates integer DEFAULT 10000, record_plan boolean DEFAULT false)
RETURNS SETOF pgknowbase_hit
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED SECURITY INVOKER ROWS 10 SET search_path FROM CURRENT SET jit = 'off'
SET enable_seqscan = 'off'
AS $pgknowbase$
#variable_conflict use_variable
DECLARE
    _is_distributed CONSTANT boolean := to_regclass('pgknowbase_shard_keywords') IS NOT NULL;
    _wanted CONSTANT bigint := max_hits::bigint + greatest(skip, 0);
    _depth CONSTANT integer := least(greatest(100, 2 * _wanted), 100000);
    _words_depth CONSTANT integer := least(greatest(30, 2 * _wanted), 100000);
    _any_similarity pgknowbase_filter := jsonb_populate_record(filter, '{"threshold": -1}');
    _is_plain boolean;
    _conditions jsonb;
    _met tsquery;
    _ids bigint[];
    _weight CONSTANT float8 := coalesce(
        dense_weight, (SELECT s.dense_weight FROM pgknowbase_space AS s WHERE s.is_active), 0.45);
BEGIN
    IF query IS NULL OR vector IS NULL OR max_hits IS NULL OR max_hits <= 0 THEN
        RETURN;
    END IF;
    SELECT r.is_plain INTO _is_plain FROM pgknowbase_read_query(query) AS r;
    IF NOT _is_plain THEN
        _conditions := pgknowbase_query_conditions(query, filter.sources);
        _met := _conditions ->> 'any';
        -- Where words are distributed they are counted first, since those of all would be sent here.
        IF _met IS NOT NULL AND (NOT _is_distributed OR exact_search_max_chunks >= (
            SELECT count(*) FROM pgknowbase_read_shard_keywords(
                wanted => _met, sources => filter.sources, at_most => exact_search_max_chunks + 1, with_words => false)))
        THEN
            -- Few objects that have a phrase are found by the index of words, and then all compared.
            _ids := ARRAY(
                SELECT e.id
                FROM (
                    SELECT w.source, w.id, w.language, w.words FROM pgknowbase_keywords AS w
                    WHERE NOT _is_distributed AND w.words @@ _met
                    UNION ALL
                    SELECT s.source, s.id, s.language, s.words
                    FROM pgknowbase_read_shard_keywords(wanted => _met, sources => filter.sources) AS s
                    WHERE _is_distributed
                ) AS k
                CROSS JOIN LATERAL (
                    SELECT x.id FROM pgknowbase_externaldata AS x
                    WHERE x.content_type_id = k.source AND x.object_key = k.id AND pgknowbase_matches_filter(x, filter) OFFSET 0
                ) AS e
                WHERE pgknowbase_meets_conditions(k.words, k.language, k.source, k.id, _conditions)
                LIMIT exact_search_max_chunks + 1);
        END IF;
        _any_similarity := jsonb_populate_record(_any_similarity, CASE
            WHEN cardinality(_ids) <= exact_search_max_chunks THEN jsonb_build_object('external_data_ids', _ids)
            ELSE jsonb_build_object('conditions', _conditions) END);
    END IF;
    RETURN QUERY
    WITH near AS MATERIALIZED (
        SELECT n.*, row_number() OVER (ORDER BY n.score DESC, n.external_data_id) AS place
        FROM pgknowbase_search_dense_v1(
            vector, _depth, _any_similarity, exclude, 0, exact_search_max_chunks, space_model, record_plan,
            spans => false, best_hits => least(greatest(_wanted, 60), _depth)::integer) AS n
    ), worded AS MATERIALIZED (
        SELECT w.*, row_number() OVER (ORDER BY w.score DESC, w.external_data_id) AS place
        FROM pgknowbase_bm25(
            query, _words_depth, filter, exclude, most_candidates, record_plan,
            also => (SELECT array_agg(n.external_data_id) FROM near AS n)) AS w
    ), beside AS MATERIALIZED (
        -- Most have their vectors here (pgknowbase_beside). Which chunk is nearest is looked up for the hits alone.
        SELECT e.id, e.content_type_id, e.object_key, CASE
            WHEN e.vectors_space IS DISTINCT FROM s.id THEN NULL
            WHEN cardinality(e.vectors) = 1 THEN 1 - (e.vectors[1] <=> vector)
            ELSE (SELECT 1 - min(v <=> vector) FROM unnest(e.vectors) AS v) END AS similarity,
            e.vectors IS NOT NULL AND e.vectors_space = s.id AS is_told
        FROM worded AS w
        JOIN pgknowbase_externaldata AS e ON e.id = w.external_data_id
        LEFT JOIN pgknowbase_space AS s ON s.is_active AND NOT s.distributed
        WHERE w.place <= _words_depth AND NOT EXISTS (SELECT FROM near AS n WHERE n.external_data_id = w.external_data_id)
    ), embedded AS (
        SELECT n.external_data_id, n.source, n.object_key, n.chunk_seq, n.chunk, n.similarity FROM near AS n
        UNION ALL
        SELECT b.id, b.content_type_id, b.object_key, NULL, NULL, b.similarity FROM beside AS b
        WHERE b.is_told AND b.similarity >= -1
        UNION ALL
        SELECT f.external_data_id, f.source, f.object_key, f.chunk_seq, f.chunk, f.similarity
        FROM pgknowbase_search_exact_v1(
            vector, _words_depth, pgknowbase_filter_v1(
                threshold => -1, external_data_ids => ARRAY(SELECT b.id FROM beside AS b WHERE b.is_told IS NOT TRUE)),
            spans => false) AS f
        WHERE (SELECT bool_or(b.is_told IS NOT TRUE) FROM beside AS b)
    ), measured AS MATERIALIZED ( -- each of these once, wherever it is asked for
        SELECT
            (SELECT min(n.similarity) FROM near AS n WHERE n.place <= 100) AS least,
            (SELECT nullif(max(n.similarity) - min(n.similarity), 0) FROM near AS n WHERE n.place <= 100) AS spread,
            (SELECT max(w.score) FROM worded AS w) AS best,
            coalesce(
                (SELECT sum(w.score) FROM worded AS w JOIN near AS n USING (external_data_id) WHERE n.place <= 10)
                / (SELECT nullif(sum(w.score), 0) FROM worded AS w
                    WHERE w.place <= (SELECT least(10, count(*)) FROM near)), 0) AS agreement
    ), covered AS MATERIALIZED (
        -- Only where it counts: it reads the words of ten documents.
        SELECT m.*, CASE WHEN m.agreement < 0.5 AND m.best > 0 AND m.least IS NOT NULL AND _weight > 0 THEN (
            SELECT pgknowbase_word_coverage(query, filter, array_agg(w.source), array_agg(w.object_key))
            FROM worded AS w WHERE w.place <= 10) END AS coverage
        FROM measured AS m
    ), weighed AS (
        SELECT c.*, CASE
            WHEN c.best IS NULL THEN 1
            WHEN c.least IS NULL THEN 0
            WHEN c.coverage IS NULL THEN c.agreed
            ELSE c.agreed + (least(1, _weight / 0.45) - c.agreed) * least(1, greatest(0, (0.4 - c.coverage) / 0.25))
        END AS weight
        FROM (SELECT o.*, _weight * least(1, o.agreement / 0.5) AS agreed FROM covered AS o) AS c
    ), recorded AS MATERIALIZED (
        SELECT w.*, CASE WHEN record_plan THEN set_config('pgknowbase.hybrid_plan', jsonb_build_object(
            'weight', w.weight, 'agreement', w.agreement, 'coverage', w.coverage, 'dense_weight', _weight, 'depth', _depth,
            'words_depth', _words_depth, 'dense', (SELECT count(*) FROM near), 'keyword', (
                SELECT count(*) FROM worded AS o WHERE o.place <= _words_depth))::text, true) END
        FROM weighed AS w
    ), fused AS (
        SELECT coalesce(w.external_data_id, v.external_data_id) AS external_data_id, coalesce(w.source, v.source) AS source,
            coalesce(w.object_key, v.object_key) AS object_key, v.chunk_seq, v.chunk, v.similarity, w.score AS keyword_score,
            m.weight * greatest(coalesce((v.similarity - m.least) / m.spread, 0), 0)
                + (1 - m.weight) * coalesce(w.score / m.best, 0) AS score
        FROM embedded AS v
        FULL JOIN worded AS w ON w.external_data_id = v.external_data_id
        CROSS JOIN recorded AS m
        WHERE w.place <= _words_depth OR v.similarity >= coalesce(filter.threshold, (
            SELECT x.similarity_threshold FROM pgknowbase_externaldata AS x WHERE x.id = v.external_data_id))
        ORDER BY 8 DESC, 1
        LIMIT max_hits OFFSET greatest(skip, 0)
    )
    SELECT f.source, f.object_key, f.external_data_id, c.chunk_seq, c.chunk, p.span, f.similarity, f.keyword_score,
        f.score
    FROM fused AS f
    LEFT JOIN LATERAL (
        SELECT f.chunk_seq, f.chunk WHERE f.chunk IS NOT NULL
        UNION ALL
        SELECT k.chunk_seq, k.chunk FROM pgknowbase_nearest_chunk(f.source, f.object_key, vector) AS k
        WHERE f.chunk IS NULL AND f.similarity IS NOT NULL
    ) AS c ON true
    LEFT JOIN pgknowbase_space AS s ON s.is_active
    LEFT JOIN pgknowbase_read_shard_documents_v1(
        (SELECT array_agg(o.source) FROM fused AS o), (SELECT array_agg(o.object_key) FROM fused AS o)) AS d
        ON d.source = f.source AND d.id = f.object_key
    LEFT JOIN LATERAL pgknowbase_chunk_offsets(f.source, f.object_key, c.chunk, s.template, d.content) AS p ON true
    ORDER BY f.score DESC, f.external_data_id;
END
$pgknowbase$;
