-- What was used, by day, kind, provider, model, space, source model and tenant: the sums of days with the entries that
-- are not folded yet. cost: US dollars of what has a price, null where nothing has; unpriced_tokens says how much has
-- none, so that a part does not pass for the whole.
-- Example: SELECT model, sum(cost), sum(unpriced_tokens) FROM pgknowbase_costs WHERE day >= current_date - 30 GROUP BY 1;
-- requires: pgknowbase_usage, pgknowbase_daily_usage
CREATE OR REPLACE VIEW pgknowbase_costs WITH (security_invoker = true) AS
SELECT a.day, a.kind, a.provider, a.model, a.space, a.source, a.tenant, sum(a.texts)::bigint AS texts,
    sum(a.reused)::bigint AS reused, sum(a.characters)::bigint AS characters, sum(a.tokens)::bigint AS tokens,
    sum(a.estimated_tokens)::bigint AS estimated_tokens, sum(a.output_tokens)::bigint AS output_tokens,
    sum(a.unpriced_tokens)::bigint AS unpriced_tokens, sum(a.calls)::bigint AS calls,
    sum(a.failed_calls)::bigint AS failed_calls, sum(a.retried_calls)::bigint AS retried_calls,
    sum(a.doubtful_calls)::bigint AS doubtful_calls, sum(a.seconds) AS seconds, sum(a.cost) AS cost
FROM (
    SELECT u.day, u.kind, u.provider, u.model, u.space, u.source, u.tenant, u.texts, u.reused, u.characters, u.tokens,
        u.estimated_tokens, u.output_tokens, u.unpriced_tokens, u.calls, u.failed_calls, u.retried_calls,
        u.doubtful_calls, u.seconds, u.cost
    FROM pgknowbase_usage AS u
    UNION ALL
    SELECT d.day, d.kind, d.provider, d.model, d.space, d.source, d.tenant, d.texts, d.reused, d.characters, d.tokens,
        d.estimated_tokens, d.output_tokens, d.unpriced_tokens, d.calls, d.failed_calls, d.retried_calls,
        d.doubtful_calls, d.seconds, d.cost
    FROM pgknowbase_daily_usage AS d
) AS a
GROUP BY a.day, a.kind, a.provider, a.model, a.space, a.source, a.tenant;
