-- Brings rendered rows of one source into the index and says what happened to each that was written: created, updated
-- (its text changed, so it will be embedded) or metadata (anything else changed, nothing to embed). Unchanged rows are
-- not returned, and written only where their time to be refreshed has come or is missing. The caller holds the objects'
-- locks. Documents are locked before external data, both in key order, as the vectorizer's writer does.
-- rows: a JSON array of objects with the keys of the record below.
-- refresh_seconds: after this time at most the texts are rendered again; null: never. What was written together comes
-- due spread over the last quarter of it.
-- enable_seqscan: the rows are few and known by key or place; the statistics of a table that fills say otherwise.
-- plan_cache_mode: a plan that was made for another size of the tables is not kept.
-- jit: before Postgres 18 a path switched off counts as a dear one, and what is dear is compiled, 250 ms a statement.
CREATE OR REPLACE FUNCTION pgknowbase_apply_v1(source_id integer, rows jsonb, refresh_seconds float8)
RETURNS TABLE (object_key text, outcome text, external_data_id bigint)
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER SET search_path FROM CURRENT SET enable_seqscan = off
SET jit = off SET plan_cache_mode = force_custom_plan
AS $pgknowbase$
#variable_conflict use_column
DECLARE
    _is_distributed boolean;
    _changed text[];
    _failed text[];
    _queued text[];
BEGIN
    LOCK TABLE pgknowbase_document IN ROW EXCLUSIVE MODE; -- as the INSERT does; before, or where texts lie could change
    _is_distributed := to_regclass('pgknowbase_shard_document') IS NOT NULL;
    WITH written AS (
        INSERT INTO pgknowbase_document AS d (source, id, title, content, digest, language)
        SELECT source_id, r.object_key, r.title, CASE WHEN NOT _is_distributed THEN r.content END,
            CASE WHEN _is_distributed THEN md5(r.content) END, r.language
        FROM jsonb_to_recordset(rows) AS r (
            object_key text, title text, content text, language text, content_hash text)
        LEFT JOIN LATERAL (
            SELECT x.content_hash FROM pgknowbase_externaldata AS x
            WHERE x.content_type_id = source_id AND x.object_key = r.object_key OFFSET 0
        ) AS e ON true
        WHERE e.content_hash IS DISTINCT FROM r.content_hash
        ORDER BY r.object_key
        ON CONFLICT (source, id) DO UPDATE
        SET title = excluded.title, content = excluded.content, digest = excluded.digest, language = excluded.language
        RETURNING d.id
    )
    SELECT array_agg(w.id) INTO _changed FROM written AS w;

    -- Their text is the same, so no trigger of pgai queues them.
    SELECT array_agg(e.object_key) INTO _failed
    FROM jsonb_to_recordset(rows) AS r (object_key text)
    CROSS JOIN LATERAL (
        SELECT x.object_key, x.status FROM pgknowbase_externaldata AS x
        WHERE x.content_type_id = source_id AND x.object_key = r.object_key OFFSET 0
    ) AS e
    WHERE e.status = 'failed' AND e.object_key <> ALL (coalesce(_changed, '{}'));
    _queued := coalesce(_changed, '{}') || coalesce(_failed, '{}');
    IF _is_distributed AND _queued <> '{}' THEN
        -- Of the failed ones too: theirs may be lost on its shard, which is one of the reasons to fail.
        INSERT INTO pgknowbase_shard_document AS d (source, id, content)
        SELECT source_id, r.object_key, r.content
        FROM jsonb_to_recordset(rows) AS r (object_key text, content text) WHERE r.object_key = ANY (_queued)
        ON CONFLICT (source, id) DO UPDATE SET content = excluded.content;
    END IF;
    PERFORM pgknowbase_requeue_v1(source_id, _failed, false);

    RETURN QUERY
    INSERT INTO pgknowbase_externaldata AS e (
        source_type, content_type_id, object_key, title, description, content_hash, metadata, tags, owner_id,
        is_public, is_active, similarity_threshold, status, error, attempts, chunk_count, refresh_at)
    SELECT r.source_type, source_id, r.object_key, r.title, r.description, r.content_hash, r.metadata, r.tags,
        o.owner_id, r.is_public, true, r.similarity_threshold, 'pending', '', 0, 0,
        clock_timestamp() + make_interval(secs => refresh_seconds * (0.75 + 0.25 * random()))
    FROM jsonb_to_recordset(rows) AS r (
        object_key text, title text, description text, content_hash text, metadata jsonb, tags text[],
        is_public boolean, similarity_threshold float8, source_type text, owner jsonb)
    CROSS JOIN LATERAL jsonb_populate_record(NULL::pgknowbase_externaldata, r.owner) AS o
    LEFT JOIN LATERAL (
        SELECT k.* FROM pgknowbase_externaldata AS k
        WHERE k.content_type_id = source_id AND k.object_key = r.object_key OFFSET 0
    ) AS x ON true
    WHERE x.id IS NULL
        OR x.status = 'failed'
        -- As text, because a jsonb 1 equals 1.0, and 1.0 is what the row says by now.
        OR (x.title, x.description, x.content_hash, x.metadata::text, x.tags, x.owner_id, x.is_public, x.is_active,
            x.similarity_threshold, x.source_type)
        IS DISTINCT FROM
           (r.title, r.description, r.content_hash, r.metadata::text, r.tags, o.owner_id, r.is_public, true,
            r.similarity_threshold, r.source_type)
    ORDER BY r.object_key
    ON CONFLICT (content_type_id, object_key) DO UPDATE SET
        source_type = excluded.source_type, title = excluded.title, description = excluded.description,
        content_hash = excluded.content_hash, metadata = excluded.metadata, tags = excluded.tags,
        owner_id = excluded.owner_id, is_public = excluded.is_public, is_active = true,
        similarity_threshold = excluded.similarity_threshold,
        -- One that a worker has given up since _failed was read stays as it is now: it is in no queue.
        status = CASE WHEN e.object_key = ANY (_queued) THEN 'pending' ELSE e.status END,
        error = CASE WHEN e.status = 'failed' AND e.object_key <> ALL (_queued) THEN e.error ELSE '' END,
        attempts = CASE WHEN e.status = 'failed' AND e.object_key <> ALL (_queued) THEN e.attempts ELSE 0 END,
        retry_at = CASE WHEN e.status = 'failed' AND e.object_key <> ALL (_queued) THEN e.retry_at END,
        refresh_at = excluded.refresh_at, updated_at = statement_timestamp()
    RETURNING e.object_key, CASE
        -- A row that ON CONFLICT has updated was locked first, which its xmax tells.
        WHEN e.xmax = 0 THEN 'created'
        WHEN e.object_key = ANY (_queued) THEN 'updated'
        ELSE 'metadata'
    END, e.id;

    IF refresh_seconds IS NULL THEN
        RETURN;
    END IF;
    UPDATE pgknowbase_externaldata AS e
    SET refresh_at = clock_timestamp() + make_interval(secs => refresh_seconds * (0.75 + 0.25 * random()))
    WHERE e.id = ANY (ARRAY(
        SELECT stale.id
        FROM (SELECT k.object_key FROM jsonb_to_recordset(rows) AS k (object_key text) ORDER BY 1) AS r
        CROSS JOIN LATERAL (
            SELECT x.id FROM pgknowbase_externaldata AS x
            WHERE x.content_type_id = source_id AND x.object_key = r.object_key
                AND (x.refresh_at IS NULL OR x.refresh_at <= clock_timestamp()
                    OR x.refresh_at > clock_timestamp() + make_interval(secs => refresh_seconds))
            OFFSET 0 FOR UPDATE
        ) AS stale));
END
$pgknowbase$;
