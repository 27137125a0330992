-- What a search without hits could have found, each counted up to at_most: objects that pass its filter (passing), and
-- the filter without the viewer (existing); of its sources (NULL: of all) the objects there are (indexed) and those that
-- are not embedded yet or failed (waiting); their events that no relay has taken yet (changes); and workers whose last
-- heartbeat is at most heartbeat_timeout seconds old.
CREATE OR REPLACE FUNCTION pgknowbase_nothing_found_v1(
    filter pgknowbase_filter, unrestricted pgknowbase_filter, sources integer[], at_most integer, heartbeat_timeout float8)
RETURNS TABLE (passing bigint, existing bigint, indexed bigint, waiting bigint, changes bigint, workers bigint)
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED SECURITY INVOKER SET search_path FROM CURRENT
AS $pgknowbase$
BEGIN
    RETURN QUERY SELECT
        pgknowbase_count_matching(filter, at_most),
        pgknowbase_count_matching(unrestricted, at_most),
        (SELECT count(*) FROM (
            SELECT FROM pgknowbase_externaldata AS x
            WHERE sources IS NULL OR x.content_type_id = ANY (sources)
            LIMIT at_most) AS i),
        (SELECT count(*) FROM (
            SELECT FROM pgknowbase_externaldata AS x
            WHERE x.status <> 'completed' AND (sources IS NULL OR x.content_type_id = ANY (sources))
            LIMIT at_most) AS w),
        (SELECT count(*) FROM (
            SELECT FROM pgknowbase_outbox AS o
            WHERE sources IS NULL OR EXISTS (
                SELECT FROM django_content_type AS t
                WHERE t.id = ANY (sources) AND t.app_label || '.' || t.model = lower(o.source))
            LIMIT at_most) AS c),
        (SELECT count(*) FROM pgknowbase_worker AS k WHERE k.beat_at > now() - make_interval(secs => heartbeat_timeout));
END
$pgknowbase$;
