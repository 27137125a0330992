-- Folds up to max_rows entries of the ledger into the sums of their days; returns how many. One session at a time does
-- it, and it locks nothing that writers of entries wait for.
CREATE OR REPLACE FUNCTION pgknowbase_usage_fold_v1(max_rows integer) RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER SET search_path FROM CURRENT
AS $pgknowbase$
DECLARE
    _folded bigint;
BEGIN
    IF NOT EXISTS (SELECT FROM pgknowbase_usage) OR NOT pg_try_advisory_xact_lock(
        hashtextextended('pgknowbase usage ' || current_schema(), 0)) THEN
        RETURN 0;
    END IF;
    WITH taken AS (
        DELETE FROM pgknowbase_usage AS u
        WHERE u.id = ANY (ARRAY(SELECT e.id FROM pgknowbase_usage AS e ORDER BY e.id LIMIT max_rows))
        RETURNING u.*
    ), folded AS (
        INSERT INTO pgknowbase_daily_usage AS d (
            day, kind, provider, model, space, source, tenant, texts, reused, characters, tokens, estimated_tokens,
            output_tokens, unpriced_tokens, calls, failed_calls, retried_calls, doubtful_calls, seconds, cost)
        SELECT t.day, t.kind, t.provider, t.model, t.space, t.source, t.tenant, sum(t.texts), sum(t.reused),
            sum(t.characters), sum(t.tokens), sum(t.estimated_tokens), sum(t.output_tokens), sum(t.unpriced_tokens),
            sum(t.calls), sum(t.failed_calls), sum(t.retried_calls), sum(t.doubtful_calls), sum(t.seconds), sum(t.cost)
        FROM taken AS t
        GROUP BY t.day, t.kind, t.provider, t.model, t.space, t.source, t.tenant
        ON CONFLICT (day, kind, provider, model, space, source, tenant) DO UPDATE SET
            texts = d.texts + excluded.texts, reused = d.reused + excluded.reused,
            characters = d.characters + excluded.characters, tokens = d.tokens + excluded.tokens,
            estimated_tokens = d.estimated_tokens + excluded.estimated_tokens,
            output_tokens = d.output_tokens + excluded.output_tokens,
            unpriced_tokens = d.unpriced_tokens + excluded.unpriced_tokens, calls = d.calls + excluded.calls,
            failed_calls = d.failed_calls + excluded.failed_calls,
            retried_calls = d.retried_calls + excluded.retried_calls,
            doubtful_calls = d.doubtful_calls + excluded.doubtful_calls, seconds = d.seconds + excluded.seconds,
            cost = coalesce(d.cost + excluded.cost, d.cost, excluded.cost)
        RETURNING 1
    )
    SELECT count(*) INTO _folded FROM taken;
    RETURN _folded;
END
$pgknowbase$;
