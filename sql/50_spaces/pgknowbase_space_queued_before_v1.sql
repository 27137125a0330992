-- How many documents of a space still wait that were queued until a moment; with dead letters, those are not among
-- them.
CREATE OR REPLACE FUNCTION pgknowbase_space_queued_before_v1(space bigint, until timestamptz) RETURNS bigint
LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY INVOKER SET search_path FROM CURRENT
AS $pgknowbase$
DECLARE
    _queue text;
    _left bigint;
BEGIN
    SELECT format('%I.%I', v.queue_schema, v.queue_table) INTO STRICT _queue
    FROM pgknowbase_space AS s JOIN ai.vectorizer AS v ON v.id = s.vectorizer_id WHERE s.id = space;
    EXECUTE format($sql$
        SELECT count(DISTINCT (q.source, q.id)) FROM %s AS q
        JOIN pgknowbase_document AS d ON d.source = q.source AND d.id = q.id WHERE q.queued_at <= $1
        $sql$, _queue) INTO _left USING until;
    RETURN _left;
END
$pgknowbase$;
