-- Gives back leased items whose documents' texts are not on their shards, and returns the documents whose texts are lost there.
-- A text that has just been written is on its way, since a commit is not seen on all servers at the same moment: the item is
-- due again after about as long as it has waited already: half a second, one, two, four. A text of which nothing was written for patience
-- seconds is lost: the item goes, and its object has failed, so that a relay renders it anew, and writes its text, as often and
-- as late as it does with others (max_attempts, delay, max_delay: as for pgknowbase_fail_v1).
--
--   reason   the error of the objects that have failed
--
-- requires: pgknowbase_fail_v1, pgknowbase_queue_release_v1
CREATE OR REPLACE FUNCTION pgknowbase_queue_absent_v1(
    vectorizer integer, items tid[], lease timestamptz, reason text, patience float8, max_attempts integer, delay float8,
    max_delay float8)
RETURNS TABLE (source integer, id text)
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER SET search_path FROM CURRENT SET enable_seqscan = off
SET jit = off
AS $pgknowbase$
DECLARE
    _queue text;
    _waiting record;
    _lost jsonb;
BEGIN
    SELECT format('%I.%I', v.queue_schema, v.queue_table) INTO STRICT _queue
    FROM ai.vectorizer AS v WHERE v.id = vectorizer;
    FOR _waiting IN EXECUTE format($sql$
        SELECT w.delay, array_agg(w.item) AS items
        FROM (
            SELECT q.ctid AS item, greatest(0.5, 2 ^ floor(log(2, greatest(0.1, extract(epoch FROM _now - q.queued_at))))) AS delay
            FROM %1$s AS q CROSS JOIN (SELECT clock_timestamp() AS _now) AS t
            WHERE q.ctid = ANY ($1) AND q.loading_retry_after = $2 AND EXISTS (
                SELECT FROM %1$s AS n
                WHERE n.source = q.source AND n.id = q.id AND n.queued_at > _now - make_interval(secs => $3) OFFSET 0)
        ) AS w
        GROUP BY w.delay
        $sql$, _queue) USING items, lease, patience
    LOOP
        PERFORM pgknowbase_queue_release_v1(vectorizer, _waiting.items, lease, _waiting.delay::float8, '', false);
    END LOOP;
    EXECUTE format($sql$
        WITH lost AS (
            DELETE FROM %s AS q WHERE q.ctid = ANY ($1) AND q.loading_retry_after = $2 RETURNING q.source, q.id
        )
        SELECT jsonb_agg(DISTINCT jsonb_build_array(l.source, l.id)) FROM lost AS l
        $sql$, _queue) INTO _lost USING items, lease;
    PERFORM pgknowbase_fail_v1(
        f.source, f.ids, array_fill(reason, ARRAY[cardinality(f.ids)]), max_attempts, delay, max_delay)
    FROM (
        SELECT (l.item ->> 0)::integer AS source, array_agg(l.item ->> 1) AS ids
        FROM jsonb_array_elements(_lost) AS l (item) GROUP BY 1
    ) AS f;
    RETURN QUERY SELECT (l.item ->> 0)::integer, l.item ->> 1 FROM jsonb_array_elements(_lost) AS l (item);
END
$pgknowbase$;
