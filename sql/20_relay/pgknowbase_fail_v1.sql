-- Records that objects of one source could not be brought in. Each is due again after a delay that doubles, up to
-- max_delay seconds; after max_attempts it is a dead letter (retry_at is null). What was indexed of it stays.
CREATE OR REPLACE FUNCTION pgknowbase_fail_v1(
    source_id integer, object_keys text[], errors text[], max_attempts integer, delay float8, max_delay float8)
RETURNS TABLE (object_key text, external_data_id bigint, attempts integer)
LANGUAGE sql VOLATILE PARALLEL UNSAFE SECURITY INVOKER SET search_path FROM CURRENT
AS $pgknowbase$
    INSERT INTO pgknowbase_externaldata AS e (
        source_type, content_type_id, object_key, title, description, content_hash, metadata, tags,
        is_public, is_active, similarity_threshold, status, error, attempts, chunk_count, retry_at)
    SELECT 'model', source_id, f.object_key, '', '', '', '{}', '{}', false, true, 0, 'failed', f.error, 1, 0,
        CASE WHEN max_attempts > 1 THEN clock_timestamp() + make_interval(secs => delay) END
    FROM unnest(object_keys, errors) AS f (object_key, error)
    ORDER BY f.object_key
    ON CONFLICT (content_type_id, object_key) DO UPDATE SET
        status = 'failed', error = excluded.error, attempts = e.attempts + 1, updated_at = statement_timestamp(),
        retry_at = CASE WHEN e.attempts + 1 < max_attempts
            THEN clock_timestamp() + make_interval(secs => least(max_delay, delay * 2 ^ least(e.attempts, 30))) END
    RETURNING e.object_key, e.id, e.attempts
$pgknowbase$;
