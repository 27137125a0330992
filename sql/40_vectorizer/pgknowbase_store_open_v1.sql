-- Opens documents for new chunks and says how each stands:
--   open     still has the text that was embedded (digest): it is locked, its chunks that stay have moved to their
--            places and the others are deleted; write the new ones.
--   changed  has another text by now, or is gone: its own queue item follows, or pgai's trigger has cleaned up.
--   busy     another worker, pgai's own included, holds it or has laid its chunks anew: try again.
-- kept_*: for each chunk that stays, its document, its old and new place, and the md5 of its text.
-- enable_seqscan: the rows are few and known by key or place; the statistics of a table that fills say otherwise.
-- jit: before Postgres 18 a path switched off counts as a dear one, and what is dear is compiled, 250 ms a statement.
CREATE OR REPLACE FUNCTION pgknowbase_store_open_v1(
    vectorizer integer, sources integer[], ids text[], digests text[],
    kept_sources integer[], kept_ids text[], kept_old integer[], kept_new integer[], kept_digests text[])
RETURNS TABLE (source integer, id text, state text)
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER SET search_path FROM CURRENT SET enable_seqscan = off
SET jit = off SET plan_cache_mode = force_custom_plan
AS $pgknowbase$
#variable_conflict use_column
DECLARE
    _store text;
    _reader text;
    _distributed boolean;
    _sources integer[];
    _ids text[];
    _busy jsonb;
BEGIN
    SELECT format('%I.%I', s.store_schema, s.store_table), pgknowbase_store_reader(s, '$2', '$3'), s.distributed
    INTO STRICT _store, _reader, _distributed
    FROM pgknowbase_space AS s WHERE s.vectorizer_id = vectorizer;
    IF _distributed THEN
        PERFORM pgknowbase_cluster_required(s) FROM pgknowbase_space AS s WHERE s.vectorizer_id = vectorizer;
    END IF;
    WITH held AS MATERIALIZED (
        SELECT d.source, d.id, md5(md5(d.title) || coalesce(md5(d.content), d.digest)) AS digest
        FROM (SELECT k.source, k.id FROM unnest(sources, ids) AS k (source, id) ORDER BY 1, 2) AS o
        CROSS JOIN LATERAL (
            SELECT t.source, t.id, t.title, t.content, t.digest FROM pgknowbase_document AS t
            WHERE t.source = o.source AND t.id = o.id OFFSET 0 FOR UPDATE
        ) AS d
    )
    SELECT array_agg(h.source), array_agg(h.id) INTO _sources, _ids
    FROM held AS h JOIN unnest(sources, ids, digests) AS k (source, id, digest)
        ON h.source = k.source AND h.id = k.id AND h.digest = k.digest;

    -- The advisory lock is the one that pgai's worker takes for the same document.
    EXECUTE format($sql$
        SELECT jsonb_agg(jsonb_build_array(o.source, o.id))
        FROM unnest($2, $3) AS o (source, id)
        WHERE NOT pg_try_advisory_xact_lock($1, hashtext(concat_ws('|', 'source', o.source, 'id', o.id)))
            OR EXISTS (
                SELECT 1 FROM unnest($4, $5, $6, $7) AS k (source, id, old, digest)
                LEFT JOIN LATERAL (
                    SELECT s.chunk FROM %s AS s
                    WHERE s.source = k.source AND s.id = k.id AND s.chunk_seq = k.old OFFSET 0
                ) AS c ON true
                WHERE k.source = o.source AND k.id = o.id AND md5(c.chunk) IS DISTINCT FROM k.digest)
        $sql$, _reader) INTO _busy USING vectorizer, _sources, _ids, kept_sources, kept_ids, kept_old, kept_digests;
    IF _busy IS NOT NULL THEN
        RETURN QUERY SELECT (b.item ->> 0)::integer, b.item ->> 1, 'busy'
        FROM jsonb_array_elements(_busy) AS b (item);
        SELECT array_agg(o.source), array_agg(o.id) INTO _sources, _ids
        FROM unnest(_sources, _ids) AS o (source, id)
        WHERE NOT _busy @> jsonb_build_array(jsonb_build_array(o.source, o.id));
    END IF;

    IF _distributed THEN
        PERFORM pgknowbase_store_move(_store, _sources, _ids, kept_sources, kept_ids, kept_old, kept_new);
        RETURN QUERY SELECT o.source, o.id, 'open' FROM unnest(_sources, _ids) AS o (source, id);
        RETURN;
    END IF;
    -- The trigger pgknowbase_forget_vectors locks it statement by statement, and pgknowbase_store_close_v1 writes it: here it is
    -- locked in the order of its keys, and before the snapshot in which the vectors are brought together.
    PERFORM FROM (SELECT DISTINCT k.source, k.id FROM unnest(_sources, _ids) AS k (source, id) ORDER BY 1, 2) AS o
    CROSS JOIN LATERAL (
        SELECT x.id FROM pgknowbase_externaldata AS x
        WHERE x.content_type_id = o.source AND x.object_key = o.id OFFSET 0 FOR NO KEY UPDATE
    ) AS e;
    EXECUTE format($sql$
        DELETE FROM %s AS c USING unnest($1, $2) AS o (source, id)
        WHERE c.source = o.source AND c.id = o.id AND NOT EXISTS (
            SELECT 1 FROM unnest($3, $4, $5) AS k (source, id, old)
            WHERE k.source = c.source AND k.id = c.id AND k.old = c.chunk_seq)
        $sql$, _store) USING _sources, _ids, kept_sources, kept_ids, kept_old;
    IF EXISTS (SELECT 1 FROM unnest(kept_old, kept_new) AS k (old, new) WHERE k.old <> k.new) THEN
        -- Places are unique, so chunks that move go through negative ones.
        EXECUTE format($sql$
            UPDATE %s AS c SET chunk_seq = -1 - k.new
            FROM unnest($1, $2) AS o (source, id)
            JOIN unnest($3, $4, $5, $6) AS k (source, id, old, new) ON k.source = o.source AND k.id = o.id
            WHERE c.source = k.source AND c.id = k.id AND c.chunk_seq = k.old AND k.old <> k.new
            $sql$, _store) USING _sources, _ids, kept_sources, kept_ids, kept_old, kept_new;
        EXECUTE format($sql$
            UPDATE %s AS c SET chunk_seq = -1 - c.chunk_seq
            FROM unnest($1, $2) AS o (source, id) WHERE c.source = o.source AND c.id = o.id AND c.chunk_seq < 0
            $sql$, _store) USING _sources, _ids;
    END IF;
    RETURN QUERY SELECT o.source, o.id, 'open' FROM unnest(_sources, _ids) AS o (source, id);
END
$pgknowbase$;
