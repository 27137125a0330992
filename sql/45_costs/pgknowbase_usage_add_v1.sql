-- Adds entries to the ledger; rows: a JSON array of objects with the columns of pgknowbase_usage but id, where what is
-- left out is 0, '' or, for cost, unknown. It only inserts, so that nobody waits for a row of somebody else.
-- Example: SELECT pgknowbase_usage_add_v1('[{"day": "2026-01-31", "kind": "query", "model": "m", "tokens": 4}]');
CREATE OR REPLACE FUNCTION pgknowbase_usage_add_v1(rows jsonb) RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER SET search_path FROM CURRENT
AS $pgknowbase$
DECLARE
    _added bigint;
BEGIN
    INSERT INTO pgknowbase_usage (
        day, kind, provider, model, space, source, tenant, texts, reused, characters, tokens, estimated_tokens,
        output_tokens, unpriced_tokens, calls, failed_calls, retried_calls, doubtful_calls, seconds, cost)
    SELECT r.day, r.kind, coalesce(r.provider, ''), coalesce(r.model, ''), coalesce(r.space, ''),
        coalesce(r.source, ''), coalesce(r.tenant, ''), coalesce(r.texts, 0), coalesce(r.reused, 0),
        coalesce(r.characters, 0), coalesce(r.tokens, 0), coalesce(r.estimated_tokens, 0),
        coalesce(r.output_tokens, 0), coalesce(r.unpriced_tokens, 0), coalesce(r.calls, 0),
        coalesce(r.failed_calls, 0), coalesce(r.retried_calls, 0), coalesce(r.doubtful_calls, 0),
        coalesce(r.seconds, 0), r.cost
    FROM jsonb_populate_recordset(NULL::pgknowbase_usage, rows) AS r;
    GET DIAGNOSTICS _added = ROW_COUNT;
    RETURN _added;
END
$pgknowbase$;
