-- How far a space covers the documents: how many there are, have chunks, wait in its queue, were refused for good; its
-- chunks; documents that the active space has chunks of and this one has not (missing), but for those that were written
-- in the last minute and wait here; and those that wait here for more than a minute and not in the active space (late).
CREATE OR REPLACE FUNCTION pgknowbase_space_coverage_v1(space bigint)
RETURNS TABLE (
    documents bigint, embedded bigint, queued bigint, dead bigint, chunks bigint, missing bigint, late bigint)
LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY INVOKER SET search_path FROM CURRENT
AS $pgknowbase$
DECLARE
    _this record;
    _active record;
BEGIN
    SELECT pgknowbase_store_reader(s, 'NULL', 'NULL') AS store,
        format('%I.%I', v.queue_schema, v.queue_table) AS queue,
        format('%I.%I', v.queue_schema, v.queue_failed_table) AS failed, s.created_at
    INTO STRICT _this FROM pgknowbase_space AS s JOIN ai.vectorizer AS v ON v.id = s.vectorizer_id WHERE s.id = space;
    SELECT pgknowbase_store_reader(s, 'NULL', 'NULL') AS store,
        format('%I.%I', v.queue_schema, v.queue_table) AS queue
    INTO _active FROM pgknowbase_space AS s JOIN ai.vectorizer AS v ON v.id = s.vectorizer_id WHERE s.is_active;
    IF NOT FOUND THEN
        SELECT _this.store AS store, _this.queue AS queue INTO _active;
    END IF;
    RETURN QUERY EXECUTE format($sql$
        WITH covered AS MATERIALIZED (SELECT c.source, c.id, count(*) AS chunks FROM %1$s AS c GROUP BY c.source, c.id)
        SELECT (SELECT count(*) FROM pgknowbase_document), (SELECT count(*) FROM covered),
            (SELECT count(DISTINCT (q.source, q.id)) FROM %2$s AS q
                JOIN pgknowbase_document AS d ON d.source = q.source AND d.id = q.id),
            (SELECT count(DISTINCT (f.source, f.id)) FROM %3$s AS f),
            (SELECT coalesce(sum(c.chunks), 0)::bigint FROM covered AS c),
            (SELECT count(*) FROM (
                SELECT a.source, a.id FROM %4$s AS a
                EXCEPT SELECT c.source, c.id FROM covered AS c
                EXCEPT SELECT q.source, q.id FROM %2$s AS q
                WHERE q.queued_at > greatest($1, clock_timestamp() - interval '1 minute')) AS m),
            (SELECT count(DISTINCT (q.source, q.id)) FROM %2$s AS q
                JOIN pgknowbase_document AS d ON d.source = q.source AND d.id = q.id
                WHERE q.queued_at < clock_timestamp() - interval '1 minute'
                    AND NOT EXISTS (SELECT 1 FROM %5$s AS a WHERE a.source = q.source AND a.id = q.id))
        $sql$, _this.store, _this.queue, _this.failed, _active.store, _active.queue)
    USING _this.created_at;
END
$pgknowbase$;
