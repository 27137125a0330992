-- Puts into the shared buckets of a provider's model what its answers have shown: given, what was taken and not used
-- (below 0: used beyond what was taken), in requests, texts and tokens; reported, requests and tokens of a minute by the
-- headers; remaining, what is left of them by the headers, which counts what others use of the same account.
-- Nulls say nothing. throttled: an answer was 429, so nothing is left for now.
-- Example: SELECT pgknowbase_rate_correct_v1('api.openai.com', 'm', '{0,0,-12}', '{3000,1000000}', '{2990,900000}', false);
CREATE OR REPLACE FUNCTION pgknowbase_rate_correct_v1(
    provider_name text, model_name text, given float8[], reported float8[], remaining float8[], throttled boolean)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER SET search_path FROM CURRENT
AS $pgknowbase$
BEGIN
    INSERT INTO pgknowbase_provider_rate AS r (
        provider, model, requests_per_minute, tokens_per_minute, requests, texts, tokens)
    SELECT provider_name, model_name, reported[1], reported[2], z.nothing, z.nothing, z.nothing
    FROM (SELECT CASE WHEN throttled THEN 0::float8 END AS nothing) AS z
    ON CONFLICT (provider, model) DO UPDATE SET
        requests_per_minute = coalesce(excluded.requests_per_minute, r.requests_per_minute),
        tokens_per_minute = coalesce(excluded.tokens_per_minute, r.tokens_per_minute),
        requests = least(r.requests + given[1], remaining[1], excluded.requests),
        texts = least(r.texts + given[2], excluded.texts),
        tokens = least(r.tokens + given[3], remaining[2], excluded.tokens),
        filled_at = CASE WHEN throttled THEN clock_timestamp() ELSE r.filled_at END;
END
$pgknowbase$;
