-- Statements that Python runs; core/queries.sql says how they are written.

-- usage_add --
SELECT pgknowbase_usage_add_v1(%(rows)s::jsonb)

-- usage_fold --
SELECT pgknowbase_usage_fold_v1(%(max_rows)s)

-- kept_vectors_expire --
-- The oldest ids are the oldest rows.
DELETE FROM pgknowbase_kept_vector
WHERE id = ANY (ARRAY(SELECT k.id FROM pgknowbase_kept_vector AS k ORDER BY k.id LIMIT %(max_rows)s))
    AND created_at < clock_timestamp() - make_interval(days => %(days)s)
RETURNING id

-- costs --
-- Sums since a day, by one of the names of the ledger.
SELECT n.name, sum(c.texts)::bigint AS texts, sum(c.reused)::bigint AS reused, sum(c.characters)::bigint AS characters,
    sum(c.tokens)::bigint AS tokens, sum(c.estimated_tokens)::bigint AS estimated_tokens,
    sum(c.output_tokens)::bigint AS output_tokens, sum(c.calls)::bigint AS calls,
    sum(c.failed_calls)::bigint AS failed_calls, sum(c.retried_calls)::bigint AS retried_calls,
    sum(c.doubtful_calls)::bigint AS doubtful_calls, sum(c.seconds)::float8 AS seconds, sum(c.cost) AS cost,
    sum(c.unpriced_tokens)::bigint AS unpriced_tokens
FROM pgknowbase_costs AS c
CROSS JOIN LATERAL (
    SELECT CASE %(by)s WHEN 'day' THEN c.day::text WHEN 'month' THEN to_char(c.day, 'YYYY-MM') WHEN 'kind' THEN c.kind
        WHEN 'provider' THEN c.provider WHEN 'model' THEN c.model WHEN 'space' THEN c.space
        WHEN 'source' THEN c.source WHEN 'tenant' THEN c.tenant ELSE '' END
) AS n (name)
WHERE c.day >= coalesce(%(since)s::date, c.day) AND (c.calls, c.reused, c.tokens, c.output_tokens) <> (0, 0, 0, 0)
GROUP BY n.name
ORDER BY CASE WHEN %(by)s IN ('day', 'month') THEN n.name END, sum(c.cost) DESC NULLS LAST, sum(c.tokens) DESC, n.name

-- usage_rates --
-- What the ledger knows of an embedding model: tokens for a character, where the provider has counted, and seconds for a
-- text. Null where it knows nothing.
SELECT (sum(c.tokens) FILTER (WHERE c.estimated_tokens = 0)
        / nullif(sum(c.characters) FILTER (WHERE c.estimated_tokens = 0), 0))::float8,
    (sum(c.seconds) / nullif(sum(c.texts), 0))::float8
FROM pgknowbase_costs AS c
WHERE c.kind = 'embedding' AND c.provider = %(provider)s AND c.model = %(model)s AND c.texts > 0

-- spent --
-- Tokens and money of one model in the current day and month, of all tenants together (''), and of each of these.
SELECT p.per, t.tenant, coalesce(s.tokens, 0)::bigint, coalesce(s.cost, 0)
FROM (VALUES ('day', %(day)s::date), ('month', %(month)s::date)) AS p (per, since)
CROSS JOIN unnest('{""}'::text[] || %(tenants)s::text[]) AS t (tenant)
LEFT JOIN LATERAL (
    SELECT sum(c.tokens) AS tokens, sum(c.cost) AS cost FROM pgknowbase_costs AS c
    WHERE c.day >= p.since AND c.model = %(model)s AND c.kind IN ('embedding', 'query')
        AND (t.tenant = '' OR c.tenant = t.tenant)
) AS s ON true

-- spent_by_tenant --
SELECT p.per, c.model, c.tenant, sum(c.tokens), coalesce(sum(c.cost), 0)
FROM (VALUES ('day', %(day)s::date), ('month', %(month)s::date)) AS p (per, since)
JOIN pgknowbase_costs AS c ON c.day >= p.since AND c.kind IN ('embedding', 'query')
GROUP BY p.per, c.model, c.tenant

-- document_count --
SELECT count(*) FROM pgknowbase_document

-- documents_page --
WITH page AS MATERIALIZED (
    SELECT d.source, d.id, d.title, d.content FROM pgknowbase_document AS d
    WHERE (d.source, d.id) > (%(after_source)s, %(after_key)s) ORDER BY d.source, d.id LIMIT %(limit)s
)
SELECT p.source, p.id, p.title, coalesce(p.content, s.content, '')
FROM page AS p
LEFT JOIN pgknowbase_read_shard_documents_v1(
    (SELECT array_agg(o.source) FROM page AS o), (SELECT array_agg(o.id) FROM page AS o)) AS s
    ON s.source = p.source AND s.id = p.id
ORDER BY p.source, p.id

-- documents_sample --
-- The same ones each time.
WITH drawn AS MATERIALIZED (
    SELECT d.source, d.id, d.title, d.content FROM pgknowbase_document AS d
    WHERE (d.source, d.id) IN (
        SELECT s.source, s.id FROM pgknowbase_document AS s ORDER BY md5(s.source || ':' || s.id) LIMIT %(limit)s)
)
SELECT p.source, p.id, p.title, coalesce(p.content, s.content, '')
FROM drawn AS p
LEFT JOIN pgknowbase_read_shard_documents_v1(
    (SELECT array_agg(o.source) FROM drawn AS o), (SELECT array_agg(o.id) FROM drawn AS o)) AS s
    ON s.source = p.source AND s.id = p.id
ORDER BY p.source, p.id

-- chunking --
SELECT pgknowbase_chunking_v1(%(splitter)s, %(chunk_size)s, %(chunk_overlap)s)

-- costs_by_day_and_kind --
SELECT c.day, c.kind, sum(c.cost) AS cost, sum(c.tokens + c.output_tokens)::bigint AS tokens
FROM pgknowbase_costs AS c WHERE c.day >= %(since)s GROUP BY c.day, c.kind

-- text_owners --
-- Of documents: the label of the source model, the owner and, where somebody reads it, the metadata.
SELECT k.source, k.id, t.app_label || '.' || t.model, e.owner_id::text, CASE WHEN %(with_metadata)s THEN e.metadata::text END
FROM unnest(%(sources)s::int[], %(ids)s::text[]) AS k (source, id)
JOIN django_content_type AS t ON t.id = k.source
CROSS JOIN LATERAL (
    SELECT x.owner_id, x.metadata FROM pgknowbase_externaldata AS x
    WHERE x.content_type_id = k.source AND x.object_key = k.id OFFSET 0
) AS e
