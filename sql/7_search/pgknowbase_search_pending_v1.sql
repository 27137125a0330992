-- The objects that wait to be indexed and share words with a search text, best first: by ts_rank, since BM25's statistics
-- do not know them yet. Those are read that are in the queue, or whose words are stale, up to at_most of each, the newest of
-- the first 20 times as many; and those in rendered.
--
--   rendered   what rows that have changed would be indexed as: [{"source": 1, "record": {"object_key": ...}}, ...], each a
--              row as pgknowbase_apply_v1 takes it. All come back, with whether they pass the filters and a rank that may be 0;
--              they stand for what the index has of these objects.
--   ruled      sources for which viewer is not asked
--   sources, viewer, metadata, ...   see pgknowbase_search_dense_v1
CREATE OR REPLACE FUNCTION pgknowbase_search_pending_v1(
    query text, rendered jsonb, at_most integer, ruled integer[] DEFAULT '{}', sources integer[] DEFAULT NULL,
    viewer text DEFAULT NULL, metadata jsonb DEFAULT NULL, matching jsonpath DEFAULT NULL, tags text[] DEFAULT NULL,
    changed_from timestamptz DEFAULT NULL, changed_before timestamptz DEFAULT NULL, object_keys text[] DEFAULT NULL,
    external_data_ids bigint[] DEFAULT NULL)
RETURNS TABLE (source integer, object_key text, external_data_id bigint, passes boolean, rank float8)
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED SECURITY INVOKER SET search_path FROM CURRENT
SET jit = 'off'
AS $pgknowbase$
#variable_conflict use_variable
BEGIN
    RETURN QUERY
    WITH fresh AS MATERIALIZED (
        SELECT r.source, r.record ->> 'object_key' AS key, e.id, r.record ->> 'language' AS language,
            concat(r.record ->> 'title', E'\n', r.record ->> 'content') AS content,
            pgknowbase_passes_v1(
                p, sources, CASE WHEN r.source <> ALL (ruled) THEN viewer END, metadata, matching, tags, changed_from,
                changed_before)
                AND (object_keys IS NULL OR r.record ->> 'object_key' = ANY (object_keys))
                AND (external_data_ids IS NULL OR e.id = ANY (external_data_ids)) AS passes
        FROM jsonb_to_recordset(rendered) AS r (source integer, record jsonb)
        LEFT JOIN pgknowbase_externaldata AS e ON e.content_type_id = r.source AND e.object_key = r.record ->> 'object_key'
        CROSS JOIN LATERAL jsonb_populate_record(NULL::pgknowbase_externaldata, r.record || (r.record -> 'owner')
            || jsonb_build_object('content_type_id', r.source, 'is_active', coalesce(e.is_active, true),
                'updated_at', statement_timestamp())) AS p
    ), queued AS MATERIALIZED (
        SELECT s.id
        FROM (
            SELECT e.id, e.updated_at FROM pgknowbase_externaldata AS e
            WHERE e.status IN ('pending', 'processing') AND e.status <> 'completed' -- the condition of the partial index
                AND (sources IS NULL OR e.content_type_id = ANY (sources))
            LIMIT 20 * at_most
        ) AS s
        ORDER BY s.updated_at DESC LIMIT at_most
    ), stale AS MATERIALIZED (
        SELECT s.id
        FROM (
            SELECT e.id, e.updated_at
            FROM pgknowbase_keywords AS k
            JOIN pgknowbase_externaldata AS e ON e.content_type_id = k.source AND e.object_key = k.id
            WHERE k.stale AND (sources IS NULL OR k.source = ANY (sources))
            LIMIT 20 * at_most
        ) AS s
        ORDER BY s.updated_at DESC LIMIT at_most
    ), waiting AS MATERIALIZED (
        SELECT e.content_type_id AS source, e.object_key AS key, e.id, d.title, d.content,
            CASE WHEN NOT k.stale THEN k.words END AS words,
            coalesce(CASE WHEN NOT k.stale THEN k.language END, (
                SELECT c.cfgname::text FROM pg_ts_config AS c
                WHERE c.cfgname = d.language AND pg_ts_config_is_visible(c.oid) LIMIT 1), 'simple') AS language
        FROM pgknowbase_externaldata AS e
        JOIN pgknowbase_document AS d ON d.source = e.content_type_id AND d.id = e.object_key
        LEFT JOIN pgknowbase_keywords AS k ON k.source = e.content_type_id AND k.id = e.object_key
        WHERE e.id IN (SELECT q.id FROM queued AS q UNION SELECT s.id FROM stale AS s)
            AND e.id NOT IN (SELECT f.id FROM fresh AS f WHERE f.id IS NOT NULL)
            AND pgknowbase_passes_v1(
                e, sources, CASE WHEN e.content_type_id <> ALL (ruled) THEN viewer END, metadata, matching, tags,
                changed_from, changed_before)
            AND (object_keys IS NULL OR e.object_key = ANY (object_keys))
            AND (external_data_ids IS NULL OR e.id = ANY (external_data_ids))
    ), text AS (
        SELECT f.source, f.key, f.id, f.passes, f.language, true AS told,
            pgknowbase_words_v1(f.language, f.content) AS words
        FROM fresh AS f
        UNION ALL
        SELECT w.source, w.key, w.id, true, w.language, false,
            coalesce(w.words, pgknowbase_words_v1(w.language, concat(w.title, E'\n', w.content)))
        FROM waiting AS w
    ), asked AS MATERIALIZED (
        SELECT l.language, (
            SELECT string_agg(w.word, '|')::tsquery FROM pgknowbase_asked_words_v1(l.language, query) AS w) AS words
        FROM (SELECT f.language FROM fresh AS f UNION SELECT w.language FROM waiting AS w) AS l
    )
    SELECT t.source, t.key, t.id, t.passes, coalesce(ts_rank(t.words, a.words, 1), 0)::float8
    FROM text AS t JOIN asked AS a ON a.language = t.language
    WHERE t.told OR t.words @@ a.words
    ORDER BY 5 DESC, 1, 2;
END
$pgknowbase$;
