-- Per source model: how many objects the index knows, in which state, what still waits, for how long, and what was
-- embedded lately. outbox counts changed rows, and changes of related rows once. All columns but source and the two
-- moments are plain numbers, for exporters.
CREATE OR REPLACE VIEW pgknowbase_status WITH (security_invoker = true) AS
SELECT t.app_label || '.' || t.model AS source,
    coalesce(e.total, 0) AS total,
    coalesce(e.completed, 0) AS completed,
    coalesce(e.pending, 0) AS pending,
    coalesce(e.processing, 0) AS processing,
    coalesce(e.failed, 0) AS failed,
    coalesce(e.dead, 0) AS dead,
    coalesce(e.chunks, 0) AS chunks,
    coalesce(o.events, 0) AS outbox,
    least(o.oldest, e.oldest) AS oldest_pending,
    coalesce(greatest(0, extract(epoch FROM clock_timestamp() - least(o.oldest, e.oldest)))::float8, 0) AS lag_seconds,
    coalesce(e.last_minute, 0) AS embedded_last_minute,
    e.last_processed
FROM django_content_type AS t
LEFT JOIN (
    SELECT content_type_id, count(*) AS total,
        count(*) FILTER (WHERE status = 'completed') AS completed,
        count(*) FILTER (WHERE status = 'pending') AS pending,
        count(*) FILTER (WHERE status = 'processing') AS processing,
        count(*) FILTER (WHERE status = 'failed') AS failed,
        count(*) FILTER (WHERE status = 'failed' AND retry_at IS NULL) AS dead,
        sum(chunk_count) AS chunks,
        min(updated_at) FILTER (WHERE status IN ('pending', 'processing')) AS oldest,
        count(*) FILTER (WHERE processed_at > clock_timestamp() - interval '1 minute') AS last_minute,
        max(processed_at) AS last_processed
    FROM pgknowbase_externaldata GROUP BY content_type_id
) AS e ON e.content_type_id = t.id
LEFT JOIN (
    SELECT lower(waiting.source) AS source, sum(waiting.events)::bigint AS events, min(waiting.created_at) AS oldest
    FROM (
        SELECT source, greatest(1, coalesce(cardinality(object_keys), 1)) AS events, created_at FROM pgknowbase_outbox
        UNION ALL
        SELECT source, 1, created_at FROM pgknowbase_expansion
    ) AS waiting
    GROUP BY lower(waiting.source)
) AS o ON o.source = t.app_label || '.' || t.model
WHERE e.content_type_id IS NOT NULL OR o.source IS NOT NULL;
