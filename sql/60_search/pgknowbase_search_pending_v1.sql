-- The objects that wait to be indexed and share words with a search text, best first: by ts_rank, since BM25's statistics
-- do not know them yet. Those are read that are in the queue, or whose words are stale, up to at_most of each, the newest of
-- the first 20 times as many; and those in rendered.
--
--   rendered   what rows that have changed would be indexed as: [{"source": 1, "record": {"object_key": ...}}, ...], each a
--              row as pgknowbase_apply_v1 takes it. All come back, with whether they pass the filters and a rank that may be 0;
--              they stand for what the index has of these objects.
--   ruled      sources for which the filter's visible_to is not asked
--   filter     see the type pgknowbase_filter
CREATE OR REPLACE FUNCTION pgknowbase_search_pending_v1(
    query text, rendered jsonb, at_most integer, ruled integer[] DEFAULT '{}', filter pgknowbase_filter DEFAULT NULL)
RETURNS TABLE (source integer, object_key text, external_data_id bigint, passes boolean, rank float8)
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED SECURITY INVOKER SET search_path FROM CURRENT
SET enable_seqscan = 'off'
SET enable_sort = 'off' -- so that the partial index is the one way to the order of stale words
SET jit = 'off'
AS $pgknowbase$
#variable_conflict use_variable
DECLARE
    _read CONSTANT record := pgknowbase_read_query(query);
    -- Asked for apart, because ruled sources are not asked.
    _unrestricted CONSTANT pgknowbase_filter := jsonb_populate_record(filter, '{"visible_to": null}');
BEGIN
    RETURN QUERY
    WITH fresh AS MATERIALIZED (
        SELECT r.source, r.record ->> 'object_key' AS key, e.id, r.record ->> 'language' AS language,
            r.record ->> 'title' AS title, r.record ->> 'content' AS content,
            pgknowbase_matches_filter(p, _unrestricted)
                AND (filter.visible_to IS NULL OR r.source = ANY (ruled) OR p.is_public
                    OR p.owner_id::text = filter.visible_to) AS passes
        FROM jsonb_to_recordset(rendered) AS r (source integer, record jsonb)
        LEFT JOIN LATERAL (
            SELECT x.id, x.is_active FROM pgknowbase_externaldata AS x
            WHERE x.content_type_id = r.source AND x.object_key = r.record ->> 'object_key' OFFSET 0
        ) AS e ON true
        CROSS JOIN LATERAL jsonb_populate_record(NULL::pgknowbase_externaldata, r.record || (r.record -> 'owner')
            || jsonb_build_object('id', e.id, 'content_type_id', r.source, 'is_active', coalesce(e.is_active, true),
                'updated_at', statement_timestamp())) AS p
    ), queued AS MATERIALIZED (
        SELECT s.id
        FROM (
            SELECT e.id, e.updated_at FROM pgknowbase_externaldata AS e
            WHERE e.status IN ('pending', 'processing') AND e.status <> 'completed' -- the condition of the partial index
                AND (filter.sources IS NULL OR e.content_type_id = ANY (filter.sources))
            LIMIT 20 * at_most
        ) AS s
        ORDER BY s.updated_at DESC LIMIT at_most
    ), stale AS MATERIALIZED (
        SELECT s.id
        FROM (
            SELECT e.id, e.updated_at
            FROM (
                SELECT w.source, w.id FROM pgknowbase_keywords AS w
                WHERE w.stale AND (filter.sources IS NULL OR w.source = ANY (filter.sources))
                ORDER BY w.id, w.source LIMIT 20 * at_most
            ) AS k
            CROSS JOIN LATERAL (
                SELECT x.id, x.updated_at FROM pgknowbase_externaldata AS x
                WHERE x.content_type_id = k.source AND x.object_key = k.id OFFSET 0
            ) AS e
        ) AS s
        ORDER BY s.updated_at DESC LIMIT at_most
    ), waiting AS MATERIALIZED (
        SELECT e.content_type_id AS source, e.object_key AS key, e.id, d.title, d.content,
            -- Words whose places are made up tell no phrase.
            CASE WHEN NOT (k.stale OR k.words @@ '^0') THEN k.words END AS words,
            coalesce((
                SELECT c.cfgname::text FROM pg_ts_config AS c
                WHERE c.cfgname = d.language AND pg_ts_config_is_visible(c.oid) LIMIT 1), 'simple') AS language
        FROM (
            SELECT q.id FROM queued AS q UNION SELECT s.id FROM stale AS s
            EXCEPT SELECT f.id FROM fresh AS f
        ) AS o
        CROSS JOIN LATERAL (
            SELECT x.id, x.content_type_id, x.object_key FROM pgknowbase_externaldata AS x
            WHERE x.id = o.id AND pgknowbase_matches_filter(x, _unrestricted)
                AND (filter.visible_to IS NULL OR x.content_type_id = ANY (ruled) OR x.is_public
                    OR x.owner_id::text = filter.visible_to)
            OFFSET 0
        ) AS e
        CROSS JOIN LATERAL (
            SELECT t.title, t.content, t.language FROM pgknowbase_document AS t
            WHERE t.source = e.content_type_id AND t.id = e.object_key OFFSET 0
        ) AS d
        LEFT JOIN LATERAL (
            SELECT w.words, w.language, w.stale FROM pgknowbase_keywords AS w
            WHERE w.source = e.content_type_id AND w.id = e.object_key OFFSET 0
        ) AS k ON true
    ), elsewhere AS MATERIALIZED (
        SELECT s.source, s.id, s.content
        FROM pgknowbase_read_shard_documents_v1(
            (SELECT array_agg(w.source) FROM waiting AS w WHERE w.words IS NULL),
            (SELECT array_agg(w.key) FROM waiting AS w WHERE w.words IS NULL)) AS s
    ), text AS (
        SELECT f.source, f.key, f.id, f.passes, f.language, true AS told,
            pgknowbase_tokenize_titled(f.language, f.title, f.content) AS words
        FROM fresh AS f
        UNION ALL
        SELECT w.source, w.key, w.id, true, w.language, false,
            coalesce(w.words, pgknowbase_tokenize_titled(w.language, w.title, coalesce(w.content, s.content)))
        FROM waiting AS w LEFT JOIN elsewhere AS s ON s.source = w.source AND s.id = w.key
    ), asked AS MATERIALIZED (
        SELECT l.language, (
            SELECT string_agg(w.word, '|')::tsquery
            FROM (
                SELECT t.word FROM pgknowbase_query_tokens(l.language, _read.words) AS t
                UNION ALL SELECT pgknowbase_part_tsquery(l.language, p, false, true) FROM unnest(_read.prefixes) AS p
            ) AS w) AS words,
            CASE WHEN NOT _read.is_plain THEN pgknowbase_query_condition(query, l.language) END AS condition
        FROM (SELECT f.language FROM fresh AS f UNION SELECT w.language FROM waiting AS w) AS l
    )
    SELECT t.source, t.key, t.id, t.passes AND m.is_met, coalesce(ts_rank(t.words, a.words, 1), 0)::float8
    FROM text AS t JOIN asked AS a ON a.language = t.language
    CROSS JOIN LATERAL (SELECT a.condition IS NULL OR t.words @@ a.condition AS is_met) AS m
    WHERE t.told OR t.words @@ a.words AND m.is_met
    ORDER BY 5 DESC, 1, 2;
END
$pgknowbase$;
