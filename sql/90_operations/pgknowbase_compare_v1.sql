-- Compares objects of one source with their rendered rows and returns those that differ: missing (rendered, but not
-- known), orphaned (known, but not rendered) or stale (in the fields named). 'document' among the fields: the document
-- itself differs from what the external data says of it, or its words are missing. waits: an event or another try is
-- still to come. The caller has held the objects' locks since before it read the rows, so whatever differs and does not
-- wait has drifted. rows: as for pgknowbase_apply_v1; a key without a row is not to be in the index.
-- requires: pgknowbase_objects_with_pending_events_v1, pgknowbase_read_shard_documents_v1
CREATE OR REPLACE FUNCTION pgknowbase_compare_v1(source_id integer, source_label text, object_keys text[], rows jsonb)
RETURNS TABLE (object_key text, fault text, fields text[], waits boolean)
LANGUAGE sql STABLE PARALLEL RESTRICTED SECURITY INVOKER SET search_path FROM CURRENT
SET enable_seqscan = off
SET jit = off
AS $pgknowbase$
    WITH rendered AS (
        SELECT r.*, o.owner_id
        FROM jsonb_to_recordset(rows) AS r (
            object_key text, title text, description text, content text, content_hash text, language text,
            metadata jsonb, tags text[], is_public boolean, similarity_threshold float8, source_type text, owner jsonb)
        CROSS JOIN LATERAL jsonb_populate_record(NULL::pgknowbase_externaldata, r.owner) AS o
    ), compared AS (
        SELECT k.object_key,
            CASE
                WHEN r.object_key IS NULL THEN 'orphaned'
                WHEN e.id IS NULL THEN 'missing'
                ELSE 'stale'
            END AS fault,
            CASE WHEN r.object_key IS NOT NULL AND e.id IS NOT NULL THEN array_remove(ARRAY[
                CASE WHEN e.title IS DISTINCT FROM r.title THEN 'title' END,
                CASE WHEN e.content_hash IS DISTINCT FROM r.content_hash AND e.title = r.title THEN 'content' END,
                CASE WHEN e.content_hash = r.content_hash
                    AND ((d.title, d.language) IS DISTINCT FROM (r.title, r.language)
                        OR coalesce(d.content = r.content, d.digest = md5(r.content) AND s.digest = d.digest) IS NOT TRUE
                        OR w.id IS NULL)
                    THEN 'document' END,
                CASE WHEN e.description IS DISTINCT FROM r.description THEN 'description' END,
                CASE WHEN e.metadata::text IS DISTINCT FROM r.metadata::text THEN 'metadata' END, -- 1 is not 1.0 there
                CASE WHEN e.tags IS DISTINCT FROM r.tags THEN 'tags' END,
                CASE WHEN e.owner_id IS DISTINCT FROM r.owner_id THEN 'owner' END,
                CASE WHEN e.is_public IS DISTINCT FROM r.is_public THEN 'is_public' END,
                CASE WHEN NOT e.is_active THEN 'is_active' END,
                CASE WHEN e.similarity_threshold IS DISTINCT FROM r.similarity_threshold THEN 'threshold' END,
                CASE WHEN e.source_type IS DISTINCT FROM r.source_type THEN 'source_type' END
            ], NULL) END AS fields,
            r.object_key IS NULL AND e.id IS NULL AND d.id IS NULL AS absent,
            coalesce(e.status = 'failed' AND e.retry_at IS NOT NULL, false) AS retried
        FROM unnest(object_keys) AS k (object_key)
        LEFT JOIN rendered AS r ON r.object_key = k.object_key
        LEFT JOIN LATERAL (
            SELECT x.* FROM pgknowbase_externaldata AS x
            WHERE x.content_type_id = source_id AND x.object_key = k.object_key OFFSET 0
        ) AS e ON true
        LEFT JOIN LATERAL (
            SELECT t.* FROM pgknowbase_document AS t WHERE t.source = source_id AND t.id = k.object_key OFFSET 0
        ) AS d ON true
        LEFT JOIN pgknowbase_read_shard_documents_v1(ARRAY[source_id], object_keys, with_texts => false) AS s
            ON s.id = k.object_key AND d.content IS NULL
        LEFT JOIN LATERAL (
            SELECT y.id FROM pgknowbase_keywords AS y WHERE y.source = source_id AND y.id = k.object_key OFFSET 0
        ) AS w ON true
    ), different AS MATERIALIZED (
        SELECT c.* FROM compared AS c WHERE NOT c.absent AND c.fields IS DISTINCT FROM '{}'
    )
    SELECT f.object_key, f.fault, coalesce(f.fields, '{}'),
        f.retried OR f.object_key IN (
            SELECT w.object_key
            FROM pgknowbase_objects_with_pending_events_v1(
                source_label, (SELECT array_agg(x.object_key) FROM different AS x)) AS w)
    FROM different AS f
    ORDER BY f.object_key
$pgknowbase$;
