-- Every statement that pgknowbase's Python runs. A line '-- name --' begins a query, and the gateway runs it by that name:
--
--     gateway.fetch(using, "outbox_claim", labels=["blog.Article"], low_watermark=0, max_keys=500)
--
-- Parameters are named, and a literal percent sign is doubled. Most queries call one function of sql/, whose file says
-- what it does; comments here say only what such a file does not.


-- ------------------------------------------------------------------------------------------------ transactions

-- set_read_committed --
SET TRANSACTION ISOLATION LEVEL READ COMMITTED

-- set_read_only --
SELECT set_config('transaction_read_only', 'on', true)

-- isolation_level --
SELECT current_setting('transaction_isolation')

-- set_lock_timeout --
SELECT set_config('lock_timeout', %(timeout)s, true)

-- exchange_statement_timeout --
-- Sets it, and returns what it was. The subquery is evaluated first, since the function needs its value.
SELECT b.before FROM (SELECT current_setting('statement_timeout') AS before OFFSET 0) AS b
WHERE set_config('statement_timeout', %(timeout)s, b.before IS NOT NULL) IS NOT NULL

-- set_statement_timeout --
SELECT set_config('statement_timeout', %(timeout)s, true)

-- setting --
SELECT current_setting(%(name)s)

-- probe --
SELECT 1

-- lock_name --
-- One holder of a name at a time, until the end of the transaction.
SELECT pg_advisory_xact_lock(hashtextextended(%(name)s, 0))

-- now --
SELECT clock_timestamp()

-- backend_pid --
SELECT pg_backend_pid()

-- is_installed --
SELECT to_regclass('pgknowbase_space') IS NOT NULL

-- function_path --
-- The search path with which functions are created, behind pg_catalog: the schema of our own objects, that of Django's
-- content types and that of pgvector, and no other. "$user" and what else a session has may be a stranger's.
SELECT string_agg(quote_ident(s.name), ', ' ORDER BY s.place) || ', pg_temp'
FROM (
    SELECT f.name, min(f.place) AS place
    FROM (
        SELECT current_schema()::text AS name, 1 AS place
        UNION ALL
        SELECT n.nspname::text, 2 FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
        WHERE c.oid = to_regclass('django_content_type')
        UNION ALL
        SELECT n.nspname::text, 3 FROM pg_extension AS x JOIN pg_namespace AS n ON n.oid = x.extnamespace
        WHERE x.extname = 'vector'
    ) AS f
    GROUP BY f.name
) AS s

-- exchange_search_path --
SELECT b.before FROM (SELECT current_setting('search_path') AS before OFFSET 0) AS b
WHERE set_config('search_path', %(path)s, b.before IS NOT NULL) IS NOT NULL

-- repeatable_objects --
-- The functions and views of the current schema that migrate replaces: those whose comment begins with its mark, and those
-- of these names without any comment, which a dump may have lost. The comment of a function that is pinned to another
-- search path is cut, so that it counts as changed.
SELECT p.proname::text AS name, 'FUNCTION' AS kind, p.oid::regprocedure::text AS identity,
    CASE WHEN EXISTS (
        SELECT 1 FROM unnest(p.proconfig) AS c (setting)
        WHERE starts_with(c.setting, 'search_path=') AND c.setting <> 'search_path=' || %(path)s)
    THEN %(mark)s ELSE coalesce(d.description, %(mark)s) END AS comment
FROM pg_proc AS p LEFT JOIN pg_description AS d ON d.objoid = p.oid AND d.classoid = 'pg_proc'::regclass
WHERE p.pronamespace = to_regnamespace(quote_ident(current_schema()))
    AND CASE WHEN d.description IS NULL THEN p.proname = ANY (%(names)s) ELSE starts_with(d.description, %(mark)s) END
UNION ALL
SELECT c.relname::text, 'VIEW', c.oid::regclass::text, coalesce(d.description, %(mark)s)
FROM pg_class AS c
LEFT JOIN pg_description AS d ON d.objoid = c.oid AND d.classoid = 'pg_class'::regclass AND d.objsubid = 0
WHERE c.relkind = 'v' AND c.relnamespace = to_regnamespace(quote_ident(current_schema()))
    AND CASE WHEN d.description IS NULL THEN c.relname = ANY (%(names)s) ELSE starts_with(d.description, %(mark)s) END

-- missing_tables --
-- Which of these tables and types are not there.
SELECT n.name FROM unnest(%(names)s::text[]) AS n (name)
WHERE to_regclass(quote_ident(n.name)) IS NULL AND to_regtype(quote_ident(n.name)) IS NULL

-- function_identity --
-- The function of this name that was created last: the transaction that asks has just done so.
SELECT p.oid::regprocedure::text
FROM pg_proc AS p
WHERE p.proname = %(name)s AND p.pronamespace = to_regnamespace(quote_ident(current_schema()))
ORDER BY age(p.xmin), p.oid DESC LIMIT 1


-- ------------------------------------------------------------------------------------------------------- relay

-- relay_has_work --
SELECT * FROM pgknowbase_relay_has_work_v1(
    %(labels)s::text[], %(low_watermark)s, %(source_ids)s::int[], %(refreshed)s::int[])

-- former_sources --
-- What index and outbox hold of models that are not source models any more; labels in lower case.
SELECT coalesce(i.label, o.label), i.id, coalesce(i.objects, 0), coalesce(o.events, 0)
FROM (
    SELECT t.app_label || '.' || t.model AS label, t.id, count(*) AS objects
    FROM pgknowbase_externaldata AS e JOIN django_content_type AS t ON t.id = e.content_type_id
    GROUP BY t.id
) AS i
FULL JOIN (
    SELECT lower(w.source) AS label, count(*) AS events
    FROM (SELECT source FROM pgknowbase_outbox UNION ALL SELECT source FROM pgknowbase_expansion) AS w
    GROUP BY lower(w.source)
) AS o ON o.label = i.label
WHERE coalesce(i.label, o.label) <> ALL (%(labels)s::text[])
ORDER BY 1

-- installed_trigger --
-- Where a trigger stands, its definition, its comment and whether it fires. Those of partitions come and go with it.
SELECT t.tgrelid::regclass::text, pg_get_triggerdef(t.oid), obj_description(t.oid, 'pg_trigger'), t.tgenabled::text
FROM pg_trigger AS t
WHERE t.tgname = %(name)s AND t.tgparentid = 0 AND pg_table_is_visible(t.tgrelid)

-- source_declare --
SELECT pgknowbase_source_declare_v1(%(label)s, %(paths)s::text[])

-- migrated_sources --
SELECT source, paths FROM pgknowbase_source WHERE paths IS NOT NULL

-- table_exists --
SELECT to_regclass(%(table)s) IS NOT NULL

-- missing_columns --
-- Which of these columns their tables do not have; tables as Postgres identifiers.
SELECT n.on_table || '.' || n.name
FROM unnest(%(tables)s::text[], %(columns)s::text[]) AS n (on_table, name)
WHERE NOT EXISTS (
    SELECT FROM pg_attribute AS a
    WHERE a.attrelid = to_regclass(n.on_table) AND a.attname = n.name AND NOT a.attisdropped
)

-- source_remove --
SELECT pgknowbase_source_remove_v1(%(label)s)

-- source_rename --
SELECT pgknowbase_source_rename_v1(%(old_label)s, %(new_label)s)

-- outbox_claim --
SELECT * FROM pgknowbase_outbox_claim_v1(%(labels)s::text[], %(low_watermark)s, %(max_keys)s)

-- outbox_low_watermark --
SELECT * FROM pgknowbase_outbox_low_watermark_v1(%(labels)s::text[], %(low_watermark)s)

-- outbox_ack --
SELECT pgknowbase_outbox_ack_v1(%(ids)s::bigint[])

-- expansion_add --
SELECT pgknowbase_expansion_add_v1(%(label)s, %(path)s, %(object_keys)s::text[])

-- expansion_claim --
SELECT * FROM pgknowbase_expansion_claim_v1(%(labels)s::text[])

-- expansion_advance --
SELECT pgknowbase_expansion_advance_v1(%(expansion)s, %(done_to)s::text)

-- claim_retries_and_refreshes --
SELECT * FROM pgknowbase_claim_retries_and_refreshes_v1(%(source_ids)s::int[], %(refreshed)s::int[], %(max_objects)s)

-- known_keys --
SELECT * FROM pgknowbase_known_keys_v1(%(source)s, %(after_key)s::text, %(max_keys)s)

-- lock_current_objects --
SELECT pgknowbase_lock_current_objects_v1(%(source)s, %(object_keys)s::text[], %(label)s, %(paths)s::text[])

-- lock_objects --
SELECT pgknowbase_lock_objects_v1(%(source)s, %(object_keys)s::text[])

-- lock_documents --
SELECT pgknowbase_lock_documents_v1(%(source)s, %(object_keys)s::text[])

-- apply --
SELECT * FROM pgknowbase_apply_v1(%(source)s, %(rows)s::jsonb, %(refresh_seconds)s)

-- remove --
SELECT * FROM pgknowbase_remove_v1(%(source)s, %(object_keys)s::text[])

-- fail --
SELECT * FROM pgknowbase_fail_v1(
    %(source)s, %(object_keys)s::text[], %(errors)s::text[], %(max_attempts)s, %(delay)s, %(max_delay)s)

-- rendering_cost_add --
SELECT pgknowbase_rendering_cost_add_v1(
    %(label)s, %(rows)s, %(seconds)s, %(statements)s, %(slowest_hook)s, %(slowest_share)s, %(querying_hook)s,
    %(querying_statements)s)

-- rendering_reads_set --
SELECT pgknowbase_rendering_reads_set_v1(%(label)s, %(reads)s::text[])

-- rendering_costs --
SELECT * FROM pgknowbase_rendering_costs

-- languages --
SELECT array_agg(c.cfgname::text) FROM pg_ts_config AS c WHERE pg_ts_config_is_visible(c.oid)

-- set_backfill --
SELECT set_config('pgknowbase.backfill', %(value)s, true)

-- object_state --
SELECT * FROM pgknowbase_object_state_v1(%(source)s, %(label)s, %(object_key)s, %(known)s::bigint[])

-- objects_with_pending_events --
SELECT * FROM pgknowbase_objects_with_pending_events_v1(%(label)s, %(object_keys)s::text[])


-- ---------------------------------------------------------------------------------------------------- keywords

-- keywords_refresh --
SELECT pgknowbase_keywords_refresh_v1(%(max_documents)s)

-- words_of_others --
SELECT coalesce(sum(o.documents), 0)::bigint FROM pgknowbase_words_of_others_v1() AS o

-- keywords_stale --
SELECT k.stale FROM pgknowbase_keywords AS k WHERE k.source = %(source)s AND k.id = %(object_key)s


-- -------------------------------------------------------------------------------------------------- vectorizer

-- requeue --
SELECT pgknowbase_requeue_v1(%(source)s, %(object_keys)s::text[], %(anew)s)

-- queue_claim --
-- The lease as ISO 8601 with its zone: without USE_TZ Django reads it as a naive time, which may mean two moments.
SELECT item::text, to_jsonb(lease) #>> '{}', attempts, source, id, title, content, backfill
FROM pgknowbase_queue_claim_v1(
    %(vectorizer)s, %(max_items)s, %(lease_seconds)s, %(only_source)s, %(only_id)s, %(worker)s, %(fresh_only)s)

-- queue_release --
SELECT pgknowbase_queue_release_v1(
    %(vectorizer)s, %(items)s::tid[], %(lease)s::timestamptz, %(delay)s::float8, %(reason)s, %(attempt)s,
    %(until)s::timestamptz)

-- queue_resume --
SELECT pgknowbase_queue_resume_v1(%(vectorizer)s, %(caps)s, %(ends)s::timestamptz[])

-- queue_fail --
SELECT pgknowbase_queue_fail_v1(%(vectorizer)s, %(item)s::tid, %(lease)s::timestamptz, %(reason)s)

-- queue_pending --
SELECT ai.vectorizer_queue_pending(%(vectorizer)s, true)

-- chunks --
SELECT * FROM pgknowbase_chunks_v1(%(vectorizer)s, %(sources)s::int[], %(ids)s::text[])

-- store_open --
SELECT * FROM pgknowbase_store_open_v1(
    %(vectorizer)s, %(sources)s::int[], %(ids)s::text[], %(digests)s::text[], %(kept_sources)s::int[],
    %(kept_ids)s::text[], %(kept_old)s::int[], %(kept_new)s::int[], %(kept_digests)s::text[])

-- store_close --
SELECT pgknowbase_store_close_v1(
    %(vectorizer)s, %(items)s::tid[], %(lease)s::timestamptz, %(sources)s::int[], %(ids)s::text[])

-- nothing_found --
SELECT passing, existing, waiting, changes FROM pgknowbase_nothing_found_v1(
    jsonb_populate_record(NULL::pgknowbase_filter, %(filter)s::jsonb),
    jsonb_populate_record(NULL::pgknowbase_filter, %(unrestricted)s::jsonb), %(sources)s::int[], %(at_most)s)

-- stored_vectors_find --
SELECT * FROM pgknowbase_stored_vectors_v1(%(fingerprint)s, %(storage)s, %(texts)s::text[])

-- kept_vectors_find --
SELECT key, vector, tokens FROM pgknowbase_kept_vector WHERE key = ANY (%(keys)s::bytea[])

-- kept_vectors_add --
WITH added AS (
    INSERT INTO pgknowbase_kept_vector (key, model, vector, tokens)
    SELECT a.key, %(model)s, a.vector, a.tokens
    FROM unnest(%(keys)s::bytea[], %(vectors)s::bytea[], %(tokens)s::int[]) AS a (key, vector, tokens)
    ON CONFLICT (key) DO NOTHING
    RETURNING id
), dropped AS (
    -- Ids are given in order, so this is their number or less.
    DELETE FROM pgknowbase_kept_vector WHERE id <= (SELECT max(id) FROM added) - %(max_vectors)s RETURNING id
)
SELECT (SELECT count(*) FROM added), (SELECT count(*) FROM dropped)

-- kept_vectors_remove --
DELETE FROM pgknowbase_kept_vector WHERE key = ANY (%(keys)s::bytea[]) RETURNING id

-- provider_failed --
INSERT INTO pgknowbase_provider_outage AS o (provider, model, executor, error, is_throttled, paused_until)
VALUES (%(provider)s, %(model)s, %(executor)s, %(error)s, %(throttled)s,
    clock_timestamp() + make_interval(secs => %(pause)s))
ON CONFLICT (provider, model) DO UPDATE SET executor = excluded.executor, error = excluded.error,
    failures = o.failures + 1, failed_at = clock_timestamp(), is_throttled = excluded.is_throttled,
    paused_until = excluded.paused_until
RETURNING failures

-- provider_recovered --
DELETE FROM pgknowbase_provider_outage WHERE provider = %(provider)s AND model = %(model)s RETURNING failures

-- provider_outage --
-- One row while the provider fails: for how many seconds the others leave it alone, null where they may ask.
SELECT CASE WHEN o.is_throttled AND o.executor <> %(executor)s
    THEN extract(epoch FROM o.paused_until - clock_timestamp())::float8 END
FROM pgknowbase_provider_outage AS o WHERE o.provider = %(provider)s AND o.model = %(model)s

-- model_probe --
-- What the model of the space answered first, which is this answer where it is the first.
INSERT INTO pgknowbase_model_probe AS p (space_id, vector) VALUES (%(space)s, %(vector)s)
ON CONFLICT (space_id) DO UPDATE SET space_id = p.space_id
RETURNING p.vector, p.changed_at IS NOT NULL

-- model_changed --
UPDATE pgknowbase_model_probe
SET changed_at = coalesce(changed_at, clock_timestamp()), similarity = %(similarity)s
WHERE space_id = %(space)s RETURNING changed_at

-- model_is_the_same --
UPDATE pgknowbase_model_probe SET changed_at = NULL, similarity = NULL WHERE space_id = %(space)s RETURNING space_id

-- mark_completed --
SELECT pgknowbase_mark_completed_v1()

-- vectorizer_configuration --
SELECT to_jsonb(v) FROM ai.vectorizer AS v WHERE v.id = %(vectorizer)s

-- type_oid --
SELECT (%(type)s::text)::regtype::oid::int


-- ------------------------------------------------------------------------------------------------------- costs

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
SELECT d.source, d.id, d.title, d.content FROM pgknowbase_document AS d
WHERE (d.source, d.id) > (%(after_source)s, %(after_key)s) ORDER BY d.source, d.id LIMIT %(limit)s

-- documents_sample --
-- The same ones each time.
SELECT d.source, d.id, d.title, d.content FROM pgknowbase_document AS d
WHERE (d.source, d.id) IN (
    SELECT s.source, s.id FROM pgknowbase_document AS s ORDER BY md5(s.source || ':' || s.id) LIMIT %(limit)s)
ORDER BY d.source, d.id

-- chunking --
SELECT pgknowbase_chunking_v1(%(splitter)s, %(chunk_size)s, %(chunk_overlap)s)

-- costs_by_day_and_kind --
SELECT c.day, c.kind, sum(c.cost) AS cost, sum(c.tokens + c.output_tokens)::bigint AS tokens
FROM pgknowbase_costs AS c WHERE c.day >= %(since)s GROUP BY c.day, c.kind

-- text_owners --
-- Of documents: the label of the source model, the owner and the metadata.
SELECT k.source, k.id, t.app_label || '.' || t.model, e.owner_id::text, e.metadata::text
FROM unnest(%(sources)s::int[], %(ids)s::text[]) AS k (source, id)
JOIN django_content_type AS t ON t.id = k.source
CROSS JOIN LATERAL (
    SELECT x.owner_id, x.metadata FROM pgknowbase_externaldata AS x
    WHERE x.content_type_id = k.source AND x.object_key = k.id OFFSET 0
) AS e


-- ------------------------------------------------------------------------------------------------------ spaces

-- space_create --
SELECT pgknowbase_space_create_v1(
    %(name)s, %(backend)s, %(model)s, %(dimensions)s, %(chunk_size)s, %(chunk_overlap)s, %(template)s, %(splitter)s,
    %(index)s, %(storage)s, %(embedding)s, %(indexed)s)

-- space_activate --
SELECT pgknowbase_space_activate_v1(%(space)s)

-- space_made_by --
SELECT pgknowbase_space_made_by_v1(%(space)s, %(fingerprint)s)

-- space_keep --
SELECT pgknowbase_space_keep_v1(%(space)s, %(max_vectors)s)

-- space_drop --
SELECT pgknowbase_space_drop_v1(%(space)s)

-- space_coverage --
SELECT * FROM pgknowbase_space_coverage_v1(%(space)s)

-- space_queued_before --
SELECT pgknowbase_space_queued_before_v1(%(space)s, %(until)s)

-- space_recount --
SELECT * FROM pgknowbase_space_recount_v1(%(after_source)s, %(after_key)s, %(max_rows)s)

-- space_search --
SELECT * FROM pgknowbase_space_search_v1(%(space)s, %(query)s::halfvec, %(max_hits)s)

-- index_column --
SELECT pgknowbase_index_column_v1(%(index)s, %(dimensions)s)

-- indexes --
SELECT * FROM pgknowbase_indexes ORDER BY space_id, source NULLS FIRST, name

-- index_progress --
SELECT phase, blocks_done, blocks_total, tuples_done, tuples_total FROM pg_stat_progress_create_index
WHERE pid = %(pid)s

-- queue_lengths --
SELECT s.id, ai.vectorizer_queue_pending(s.vectorizer_id) FROM pgknowbase_space AS s

-- store_rows_estimate --
SELECT reltuples::bigint FROM pg_class WHERE oid = to_regclass(format('%%I.%%I', %(schema)s::text, %(table)s::text))

-- store_bytes --
SELECT pg_table_size(to_regclass(quote_ident(%(schema)s) || '.' || quote_ident(%(table)s)))

-- document_sample --
SELECT d.title FROM pgknowbase_document AS d WHERE d.title <> '' ORDER BY md5(d.source || ':' || d.id) LIMIT %(limit)s


-- ------------------------------------------------------------------------------------------------------ search
-- 'serves' is computed before the search and in the same statement: a search in a space that is no longer the active
-- one gives its row alone. OFFSET 0 keeps the condition from being evaluated after the search.
-- 'filter' is a pgknowbase_filter as JSON: one parameter in the place of ten.

-- active_space --
SELECT s.id, s.backend, s.model, s.dimensions, s.embedding, s.name FROM pgknowbase_space AS s WHERE s.is_active

-- search_dense --
SELECT s.serves, h.*
FROM pgknowbase_space_serves_v1(%(space)s) AS s (serves)
LEFT JOIN LATERAL (
    SELECT * FROM pgknowbase_search_dense_v1(
        %(vector)s::halfvec, %(limit)s, jsonb_populate_record(NULL::pgknowbase_filter, %(filter)s::jsonb), skip => %(skip)s,
        exact_search_max_chunks => %(exact_search_max_chunks)s, space_model => %(space_model)s,
        record_plan => %(record_plan)s)
    WHERE s.serves OFFSET 0
) AS h ON true

-- search_hybrid --
SELECT s.serves, h.*
FROM pgknowbase_space_serves_v1(%(space)s) AS s (serves)
LEFT JOIN LATERAL (
    SELECT * FROM pgknowbase_search_hybrid_v1(
        %(text)s, %(vector)s::halfvec, %(limit)s, jsonb_populate_record(NULL::pgknowbase_filter, %(filter)s::jsonb), skip => %(skip)s,
        dense_weight => %(dense_weight)s, exact_search_max_chunks => %(exact_search_max_chunks)s,
        space_model => %(space_model)s, record_plan => %(record_plan)s)
    WHERE s.serves OFFSET 0
) AS h ON true

-- snippets --
SELECT * FROM pgknowbase_snippets_v1(%(text)s, %(ids)s::bigint[], %(chunk_seqs)s::int[], %(length)s)

-- plain_query --
SELECT pgknowbase_plain_query_v1(%(text)s)

-- search_keyword --
SELECT *
FROM pgknowbase_search_keyword_v1(
    %(text)s, %(limit)s, jsonb_populate_record(NULL::pgknowbase_filter, %(filter)s::jsonb), skip => %(skip)s,
    record_plan => %(record_plan)s)

-- search_similar --
SELECT *
FROM pgknowbase_similar_v1(
    %(source)s, %(object_key)s, %(limit)s, jsonb_populate_record(NULL::pgknowbase_filter, %(filter)s::jsonb),
    skip => %(skip)s, exact_search_max_chunks => %(exact_search_max_chunks)s, record_plan => %(record_plan)s)

-- hits_with_rows --
-- The one query that is composed: {search} is one of the four above, {row} a SELECT without parameters, compiled by
-- Django, that gives the row of a hit h, its key first. Of a hit whose row is gone the columns of r are null. The order is
-- that of the four, so that pages follow each other.
SELECT h.*, r.*
FROM (
    {search}
) AS h
LEFT JOIN LATERAL ({row} OFFSET 0) AS r (pgknowbase_key) ON true
ORDER BY h.score DESC, h.external_data_id

-- search_pending --
SELECT * FROM pgknowbase_search_pending_v1(
    %(text)s, %(rendered)s::jsonb, %(max_pending)s, %(ruled)s::int[],
    jsonb_populate_record(NULL::pgknowbase_filter, %(filter)s::jsonb))

-- pending_events --
SELECT * FROM pgknowbase_pending_events_v1(%(labels)s::text[], %(max_events)s)

-- pending_hits --
-- Which of these objects wait for the vectorizer or for their keywords.
SELECT e.id
FROM pgknowbase_externaldata AS e
LEFT JOIN pgknowbase_keywords AS k ON k.source = e.content_type_id AND k.id = e.object_key
WHERE e.id = ANY (%(ids)s) AND (e.status IN ('pending', 'processing') OR k.stale)

-- dense_plan --
SELECT current_setting('pgknowbase.search_plan', true)

-- keyword_plan --
SELECT current_setting('pgknowbase.keyword_plan', true)

-- hybrid_plan --
SELECT current_setting('pgknowbase.hybrid_plan', true)

-- has_chunks --
SELECT EXISTS (SELECT 1 FROM pgknowbase_chunk AS c WHERE c.source = %(source)s AND c.id = %(object_key)s)

-- object_matches_filter --
SELECT pgknowbase_matches_filter(e, jsonb_populate_record(NULL::pgknowbase_filter, %(filter)s::jsonb))
FROM pgknowbase_externaldata AS e WHERE e.id = %(external_data)s


-- --------------------------------------------------------------------------------------------------- reactions

-- set_reaction_chain --
SELECT set_config('pgknowbase.reaction', %(chain)s, true)

-- reactor_has_work --
SELECT * FROM pgknowbase_reactor_has_work_v1(%(reactions)s::text[], %(worker)s::uuid, %(held)s::bigint[])

-- reaction_claim --
SELECT * FROM pgknowbase_reaction_claim_v1(%(reactions)s::text[], %(max_keys)s)

-- reaction_ack --
SELECT pgknowbase_reaction_ack_v1(%(ids)s::bigint[])

-- reaction_status --
SELECT * FROM pgknowbase_reaction_status ORDER BY reaction

-- delivery_add --
SELECT pgknowbase_delivery_add_v1(%(rows)s::jsonb)

-- delivery_claim --
-- The token, started_at, with its zone, as the lease of queue_claim.
SELECT id, reaction, object_key, op, chain, idempotency_key, attempts, error, created_at, to_jsonb(started_at) #>> '{}'
FROM pgknowbase_delivery_claim_v1(%(reactions)s::text[], %(worker)s::uuid, %(max_runs)s)

-- delivery_return --
SELECT pgknowbase_delivery_return_v1(%(worker)s::uuid, %(held)s::bigint[])

-- delivery_record_outcome --
SELECT pgknowbase_delivery_record_outcome_v1(%(delivery)s, %(token)s::timestamptz, %(outcome)s, %(reason)s, %(delay)s::float8)

-- delivery_retry --
SELECT pgknowbase_delivery_retry_v1(%(deliveries)s::bigint[])

-- delivery_prune --
SELECT pgknowbase_delivery_prune_v1(%(keep_seconds)s::float8, %(max_rows)s)


-- ------------------------------------------------------------------------------------------------------ worker

-- worker_heartbeat --
SELECT pgknowbase_worker_heartbeat_v1(
    %(worker)s, %(host)s, %(pid)s, %(role)s, %(uptime)s, %(events)s, %(documents)s, %(failed)s, %(heartbeat_timeout)s)

-- connection_limits --
-- How many connections role and database allow; null: any number. Superusers are not limited.
SELECT nullif(r.rolconnlimit, -1), nullif(d.datconnlimit, -1)
FROM pg_roles AS r, pg_database AS d
WHERE r.rolname = session_user AND d.datname = current_database() AND NOT r.rolsuper
UNION ALL
SELECT NULL, NULL
LIMIT 1

-- worker_end --
SELECT pgknowbase_worker_end_v1(%(worker)s)


-- -------------------------------------------------------------------------------------------------- operations

-- status --
SELECT * FROM pgknowbase_status ORDER BY source

-- queue_states --
SELECT * FROM pgknowbase_queues_v1()

-- table_rows_estimate --
SELECT reltuples::bigint FROM pg_class WHERE oid = to_regclass(quote_ident(%(table)s))

-- compare --
SELECT * FROM pgknowbase_compare_v1(%(source)s, %(label)s, %(object_keys)s::text[], %(rows)s::jsonb)

-- index_keys --
SELECT * FROM pgknowbase_index_keys_v1(%(source)s, %(after_key)s::text, %(max_keys)s)

-- chunk_state --
SELECT * FROM pgknowbase_chunk_state_v1(%(source)s, %(object_keys)s::text[])

-- word_state --
SELECT * FROM pgknowbase_word_state_v1(%(source)s, %(object_keys)s::text[])

-- word_repair --
SELECT pgknowbase_word_repair_v1(%(source)s, %(object_keys)s::text[])

-- corpus_state --
SELECT pgknowbase_corpus_state_v1(%(source)s)

-- corpus_repair --
SELECT pgknowbase_corpus_repair_v1(%(source)s)

-- copy_state --
SELECT c.hidden FROM pgknowbase_space AS s CROSS JOIN LATERAL pgknowbase_copy_state_v1(s.id, %(source)s) AS c
WHERE s.is_active

-- copy_repair --
SELECT pgknowbase_copy_repair_v1(s.id, %(source)s) FROM pgknowbase_space AS s WHERE s.is_active

-- chunk_sample --
-- Some chunks of a source, with their vectors in the active space, of documents that no worker has to embed.
SELECT c.id, c.chunk, c.embedding::real[]
FROM pgknowbase_chunk AS c
JOIN pgknowbase_externaldata AS e ON e.content_type_id = c.source AND e.object_key = c.id AND e.status = 'completed'
WHERE c.source = %(source)s ORDER BY random() LIMIT %(max_chunks)s

-- invalidate --
SELECT pgknowbase_invalidate_v1(%(source)s, %(object_keys)s::text[], %(redo)s::text[])

-- make_due --
SELECT pgknowbase_make_due_v1()

-- text_support --
SELECT getdatabaseencoding(), to_regprocedure('pgknowbase_tokenize_document_v1(text, text)') IS NOT NULL

-- knows_letters --
SELECT pgknowbase_tokenize_document_v1('simple', 'É') @@ 'é'::tsquery

-- server_versions --
SELECT current_setting('server_version_num')::int,
    (SELECT extversion FROM pg_extension WHERE extname = 'vector'),
    (SELECT default_version FROM pg_available_extensions WHERE name = 'vector')

-- vector_extension --
-- Its version, its schema, and whether the search path finds its types.
SELECT extversion, extnamespace::regnamespace::text, to_regtype('vector') IS NOT NULL
FROM pg_extension WHERE extname = 'vector'

-- pgai_version --
SELECT version FROM ai.pgai_lib_version WHERE name = 'ai'

-- pgai_workers --
-- How many of pgai's own workers are alive.
SELECT count(*) FROM ai.vectorizer_worker_process AS w
WHERE w.last_heartbeat > clock_timestamp() - greatest(w.expected_heartbeat_interval * 5, interval '1 minute')

-- can_see_sessions --
SELECT pg_has_role('pg_read_all_stats', 'USAGE')

-- set_ef_search --
SELECT set_config('pgknowbase.ef_search', %(ef_search)s, true)

-- ef_search_used --
SELECT pgknowbase_ef_search_v1(%(limit)s, %(filtered)s, %(tuned)s, %(index)s)

-- similarities --
SELECT similarity FROM pgknowbase_search_dense_v1(
    %(vector)s::halfvec, %(limit)s,
    pgknowbase_filter_v1(%(sources)s::int[], -1, metadata => %(metadata)s::jsonb, tags => %(tags)s::text[]),
    exact_search_max_chunks => %(exact_search_max_chunks)s)

-- similarities_exact --
SELECT similarity FROM pgknowbase_search_exact_v1(
    %(vector)s::halfvec, %(limit)s,
    pgknowbase_filter_v1(%(sources)s::int[], -1, metadata => %(metadata)s::jsonb, tags => %(tags)s::text[]))

-- recall_filters --
-- For each wanted share of the objects, the filter by one real value (a metadata entry or a tag) that lets a share pass
-- which comes nearest, and how many objects there are in all.
WITH object AS MATERIALIZED (
    SELECT e.metadata, e.tags FROM pgknowbase_externaldata AS e
    WHERE e.is_active AND e.content_type_id = ANY (coalesce(%(sources)s::int[], ARRAY[e.content_type_id]))
), candidate AS (
    SELECT jsonb_build_object(m.key, m.value) AS metadata, NULL::text[] AS tags, count(*) AS passing
    FROM object AS o CROSS JOIN LATERAL jsonb_each(o.metadata) AS m
    WHERE jsonb_typeof(o.metadata) = 'object' AND jsonb_typeof(m.value) IN ('string', 'number', 'boolean')
    GROUP BY 1
    UNION ALL
    SELECT NULL, ARRAY[t.tag], count(*) FROM object AS o CROSS JOIN LATERAL unnest(o.tags) AS t (tag) GROUP BY t.tag
), of_each_size AS (
    SELECT DISTINCT ON (c.passing) c.* FROM candidate AS c ORDER BY c.passing, c.metadata::text, c.tags
), total AS (
    SELECT count(*) AS objects FROM object
)
SELECT w.share AS wanted, n.metadata::text AS metadata, n.tags, n.passing, t.objects
FROM unnest(%(shares)s::float8[]) AS w (share)
CROSS JOIN total AS t
LEFT JOIN LATERAL (
    SELECT s.* FROM of_each_size AS s ORDER BY abs(ln(s.passing::float8 / t.objects) - ln(w.share)) LIMIT 1
) AS n ON true
ORDER BY w.share DESC

-- recall_sample --
-- Vectors of stored chunks, drawn by a hash, so that the same seed draws the same ones.
SELECT c.embedding::text
FROM pgknowbase_chunk AS c
WHERE c.embedding_uuid IN (
    SELECT s.embedding_uuid FROM pgknowbase_chunk AS s
    WHERE s.source = ANY (coalesce(%(sources)s::int[], ARRAY[s.source]))
    ORDER BY hashtextextended(s.source::text || ' ' || s.id || ' ' || s.chunk_seq::text, %(seed)s) LIMIT %(limit)s)
ORDER BY c.source, c.id, c.chunk_seq

-- recall_search_settings --
-- What the dense search sets for itself: 'hnsw.ef_search=100' and more.
SELECT coalesce(p.proconfig, '{}')
FROM pg_proc AS p
WHERE p.proname = 'pgknowbase_search_dense_v1' AND pg_function_is_visible(p.oid)
LIMIT 1

-- doctor_horizon --
-- Who keeps VACUUM from removing dead rows: sessions, prepared transactions, and replication slots that nobody reads.
SELECT 'session' AS kind, a.pid::text AS name,
    a.usename || coalesce(' (' || nullif(a.application_name, '') || ')', '') || ', ' || a.state AS who,
    extract(epoch FROM clock_timestamp() - a.xact_start)::float8 AS seconds
FROM pg_stat_activity AS a
WHERE (a.backend_xmin IS NOT NULL OR a.backend_xid IS NOT NULL) AND a.pid <> pg_backend_pid()
    AND a.backend_type = 'client backend' AND a.datname = current_database() AND a.xact_start IS NOT NULL
UNION ALL
SELECT 'prepared', p.gid, p.owner, extract(epoch FROM clock_timestamp() - p.prepared)::float8
FROM pg_prepared_xacts AS p WHERE p.database = current_database()
UNION ALL
SELECT 'slot', s.slot_name, coalesce(s.plugin, s.slot_type), NULL
FROM pg_replication_slots AS s WHERE NOT s.active AND (s.xmin IS NOT NULL OR s.catalog_xmin IS NOT NULL)
ORDER BY seconds DESC NULLS FIRST

-- doctor_indexes --
-- Indexes of pgknowbase's and pgai's tables that cannot be used, and whether a build of each is under way.
SELECT i.indexrelid::regclass::text AS name, i.indrelid::regclass::text AS on_table,
    c.relname ~ '_cc(new|old)[0-9]*$' AS is_leftover,
    EXISTS (SELECT 1 FROM pg_stat_progress_create_index AS p WHERE p.index_relid = i.indexrelid) AS is_building
FROM pg_index AS i
JOIN pg_class AS c ON c.oid = i.indexrelid
JOIN pg_class AS t ON t.oid = i.indrelid
JOIN pg_namespace AS n ON n.oid = t.relnamespace
WHERE NOT (i.indisvalid AND i.indisready) AND t.relkind <> 'p'
    AND (n.nspname = 'ai' OR starts_with(t.relname, 'pgknowbase_'))
ORDER BY 1

-- doctor_rights --
-- What the current role may not do, though searches, the worker or these examinations need it. read_tables: tables of the project that are only
-- read, as quoted identifiers. They are looked up in the catalogs, since a regclass of a schema that the role may not use is an error.
WITH home AS (
    SELECT c.relnamespace AS id FROM pg_class AS c
    WHERE c.relname = 'pgknowbase_outbox' AND c.relkind = 'r'
    ORDER BY pg_table_is_visible(c.oid) DESC LIMIT 1
), relation AS (
    SELECT c.oid, n.nspname, c.relname,
        CASE
            WHEN c.relkind = 'v' OR n.nspname = 'ai' AND c.relname !~ '^_' THEN ARRAY['SELECT']
            ELSE ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']
        END AS needed
    FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'v')
        AND (n.oid = (SELECT h.id FROM home AS h) AND c.relname ~ '^pgknowbase_' AND c.relname !~ '^pgknowbase_store_.*_view$'
            OR n.nspname = 'ai' AND (c.relname IN ('vectorizer', 'vectorizer_worker_process', 'pgai_lib_version')
                OR c.relname ~ '^_vectorizer_q_'))
    UNION ALL
    SELECT c.oid, n.nspname, c.relname, ARRAY['SELECT']
    FROM unnest(%(read_tables)s::text[]) AS watched (name)
    CROSS JOIN LATERAL parse_ident(watched.name) AS part
    JOIN pg_class AS c ON c.relname = part[cardinality(part)] AND c.relkind IN ('r', 'p', 'v', 'f')
    JOIN pg_namespace AS n ON n.oid = c.relnamespace
        AND CASE cardinality(part) WHEN 1 THEN n.oid = (SELECT h.id FROM home AS h) ELSE n.nspname = part[1] END
), needed (kind, name, privilege, granted) AS (
    SELECT 'TABLE', quote_ident(r.nspname) || '.' || quote_ident(r.relname), p.privilege, has_table_privilege(r.oid, p.privilege)
    FROM relation AS r CROSS JOIN LATERAL unnest(r.needed) AS p (privilege)
    UNION ALL
    SELECT 'SEQUENCE', quote_ident(n.nspname) || '.' || quote_ident(s.relname), 'USAGE',
        CASE WHEN s.relkind = 'S' THEN has_sequence_privilege(s.oid, 'USAGE') END
    FROM pg_class AS s
    JOIN pg_namespace AS n ON n.oid = s.relnamespace
    JOIN pg_depend AS d ON d.objid = s.oid AND d.classid = 'pg_class'::regclass AND d.deptype = 'a' -- an identity's needs none
    WHERE s.relkind = 'S' AND d.refobjid IN (SELECT r.oid FROM relation AS r WHERE 'INSERT' = ANY (r.needed))
    UNION ALL
    SELECT 'FUNCTION', quote_ident(n.nspname) || '.' || quote_ident(p.proname) || '(' || pg_get_function_identity_arguments(p.oid) || ')',
        'EXECUTE', has_function_privilege(p.oid, 'EXECUTE')
    FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace
    WHERE p.pronamespace = (SELECT h.id FROM home AS h) AND starts_with(p.proname, 'pgknowbase_')
        AND p.prorettype <> 'trigger'::regtype
    UNION ALL
    SELECT 'SCHEMA', quote_ident(n.nspname), 'USAGE', has_schema_privilege(n.oid, 'USAGE')
    FROM pg_namespace AS n
    WHERE n.nspname = 'ai' OR n.oid = (SELECT h.id FROM home AS h) OR n.nspname IN (SELECT r.nspname FROM relation AS r)
), missing AS (
    SELECT n.kind, n.name, string_agg(n.privilege, ', ' ORDER BY n.privilege DESC) AS privileges
    FROM needed AS n WHERE NOT n.granted GROUP BY n.kind, n.name
)
SELECT m.kind, m.privileges, array_agg(m.name ORDER BY m.name) AS names, quote_ident(current_user) AS role
FROM missing AS m GROUP BY m.kind, m.privileges ORDER BY m.kind = 'SCHEMA' DESC, m.kind, m.privileges

-- doctor_server --
-- Where this session is, and what keeps triggers silent.
SELECT pg_is_in_recovery() AS is_standby, current_setting('session_replication_role') AS replication_role,
    quote_ident(current_user) AS role,
    ARRAY(
        SELECT 'ALTER ' || coalesce('ROLE ' || quote_ident(r.rolname), 'DATABASE ' || quote_ident(d.datname))
            || CASE WHEN r.oid IS NOT NULL AND d.oid IS NOT NULL THEN ' IN DATABASE ' || quote_ident(d.datname) ELSE '' END
            || ' RESET session_replication_role;'
        FROM pg_db_role_setting AS s
        LEFT JOIN pg_roles AS r ON r.oid = s.setrole
        LEFT JOIN pg_database AS d ON d.oid = s.setdatabase
        WHERE (s.setdatabase = 0 OR d.datname = current_database())
            AND EXISTS (SELECT 1 FROM unnest(s.setconfig) AS c (setting) WHERE c.setting = 'session_replication_role=replica')
    ) AS resets,
    ARRAY(
        SELECT c.relname::text FROM pg_subscription_rel AS r JOIN pg_class AS c ON c.oid = r.srrelid) AS replicated

-- doctor_spaces --
-- The embedding spaces beside what the catalogs say of their stores.
SELECT s.name, s.is_active, s.dimensions, s.ef_search, s.storage, s.index, s.chunk_bytes, r.store::text AS store,
    y.typname AS stored_as, a.atttypmod AS stored_dimensions,
    v.id IS NOT NULL AS has_vectorizer, (v.config -> 'embedding' ->> 'dimensions')::int AS vectorizer_dimensions,
    coalesce(pg_table_size(r.store), 0) AS bytes,
    quote_ident(s.store_table || '_hnsw') AS index_name,
    pgknowbase_index_column_v1(s.index, s.dimensions) AS index_column,
    EXISTS (
        SELECT 1 FROM pgknowbase_indexes AS i
        WHERE i.space_id = s.id AND i.source IS NULL AND i.kind = s.index AND i.dimensions = s.dimensions) AS has_index,
    ARRAY(
        SELECT i.name || ' of ' || i.kind || '(' || i.dimensions || ')' FROM pgknowbase_indexes AS i
        WHERE i.space_id = s.id AND (i.kind <> s.index OR i.dimensions <> s.dimensions) ORDER BY i.name) AS unused
FROM pgknowbase_space AS s
CROSS JOIN LATERAL (
    SELECT to_regclass(quote_ident(s.store_schema) || '.' || quote_ident(s.store_table)) AS store
) AS r
LEFT JOIN pg_attribute AS a ON a.attrelid = r.store AND a.attname = 'embedding'
LEFT JOIN pg_type AS y ON y.oid = a.atttypid
LEFT JOIN ai.vectorizer AS v ON v.id = s.vectorizer_id
ORDER BY s.id

-- doctor_copies --
-- The chunks of each store that have the vector of another one.
SELECT s.id, s.name, s.store_table, c.copies, c.most, c.hidden
FROM pgknowbase_space AS s
CROSS JOIN LATERAL pgknowbase_copy_state_v1(s.id) AS c
WHERE to_regclass(quote_ident(s.store_schema) || '.' || quote_ident(s.store_table)) IS NOT NULL
ORDER BY s.id

-- doctor_tables --
-- pgknowbase's and pgai's tables: size, dead rows, and whether the planner knows anything of them.
SELECT c.oid::regclass::text AS name, pg_relation_size(c.oid) AS bytes, pg_stat_get_live_tuples(c.oid) AS live,
    pg_stat_get_dead_tuples(c.oid) AS dead,
    NOT has_table_privilege(c.oid, 'SELECT')
        OR EXISTS (SELECT 1 FROM pg_stats AS s WHERE s.schemaname = n.nspname AND s.tablename = c.relname) AS has_statistics,
    coalesce((
        SELECT NOT o.option_value::boolean FROM pg_options_to_table(c.reloptions) AS o
        WHERE o.option_name = 'autovacuum_enabled'), false) AS is_left_out
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND (n.nspname = 'ai' OR starts_with(c.relname, 'pgknowbase_') AND pg_table_is_visible(c.oid))
ORDER BY 1

-- doctor_triggers --
-- Every capture trigger that stands on a table. Those of partitions are clones of their parent's. Those of an index in
-- another schema have functions there.
SELECT t.tgrelid::regclass::text AS on_table, t.tgname AS name, t.tgenabled::text AS enabled,
    t.tgparentid <> 0 AS is_clone, obj_description(t.oid, 'pg_trigger') AS hash, p.prosrc AS body,
    p.prosecdef AND EXISTS (
        SELECT 1 FROM unnest(p.proconfig) AS s (setting) WHERE starts_with(s.setting, 'search_path=')) AS is_secured
FROM pg_trigger AS t JOIN pg_proc AS p ON p.oid = t.tgfoid
WHERE starts_with(t.tgname, 'pgtrigger_pgknowbase_') AND pg_function_is_visible(p.oid)
ORDER BY t.tgrelid::regclass::text, t.tgname

-- doctor_versions --
-- What runs here. pgvector's available version is that of the files on the server, which is what is loaded.
SELECT current_setting('server_version') AS postgres,
    (SELECT e.extversion FROM pg_extension AS e WHERE e.extname = 'vector') AS pgvector,
    (SELECT a.default_version FROM pg_available_extensions AS a WHERE a.name = 'vector') AS available


-- --------------------------------------------------------------------------------------------------------- api

-- throttle --
SELECT pgknowbase_throttle_v1(%(caller)s, %(max_requests)s, %(period)s)


-- ---------------------------------------------------------------------------------------------------- adoption

-- pgai_vectorizers --
-- pgai's vectorizers, but for those of embedding spaces, with the source table as it is and what this role may do.
SELECT v.id, v.name, v.source_schema::text AS schema, v.source_table::text AS table, v.config::text AS config,
    coalesce(v.disabled, false) AS is_disabled,
    coalesce((SELECT jsonb_object_agg(a.attname, format_type(a.atttypid, NULL)) FROM pg_attribute AS a
        WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped), '{}')::text AS columns,
    ARRAY(SELECT a.attname::text FROM pg_index AS i
        CROSS JOIN unnest(i.indkey::int2[]) WITH ORDINALITY AS k (attnum, place)
        JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum = k.attnum
        WHERE i.indrelid = c.oid AND i.indisprimary ORDER BY k.place) AS key,
    ARRAY(SELECT p.attname FROM jsonb_to_recordset(v.source_pk) AS p (attname text, pknum integer)
        ORDER BY p.pknum) AS pgai_key,
    (SELECT a.atttypmod FROM pg_attribute AS a
        WHERE a.attrelid = coalesce(t.oid, c.oid) AND NOT a.attisdropped
            AND a.attname = coalesce(v.config -> 'destination' ->> 'embedding_column', 'embedding')) AS stored_dimensions,
    coalesce(pg_table_is_visible(c.oid), false) AS is_visible,
    coalesce(pg_has_role(c.relowner, 'USAGE'), false) AS may_alter,
    has_table_privilege('ai.vectorizer', 'UPDATE') AND coalesce(has_table_privilege(t.oid, 'SELECT'), true)
        AND coalesce(has_table_privilege(q.oid, 'SELECT'), false) AS may_read
FROM ai.vectorizer AS v
LEFT JOIN pg_class AS c ON c.oid = to_regclass(format('%%I.%%I', v.source_schema, v.source_table))
LEFT JOIN pg_class AS t ON t.oid = to_regclass(
    quote_ident(v.config -> 'destination' ->> 'target_schema') || '.'
    || quote_ident(v.config -> 'destination' ->> 'target_table'))
LEFT JOIN pg_class AS q ON q.oid = to_regclass(format('%%I.%%I', v.queue_schema, v.queue_table))
WHERE v.source_table <> 'pgknowbase_document'
ORDER BY v.id

-- pgai_state --
SELECT * FROM pgknowbase_pgai_state_v1(%(vectorizer)s)

-- is_same_table --
SELECT to_regclass(%(table)s) IS NOT DISTINCT FROM to_regclass(format('%%I.%%I', %(schema)s::text, %(of)s::text))

-- pgai_chunks --
SELECT c.place, c.waiting, c.chunk_seq, c.chunk, c.columns::text, c.version
FROM pgknowbase_pgai_chunks_v1(%(vectorizer)s, %(rows)s::jsonb) AS c ORDER BY c.place, c.chunk_seq

-- pgai_copy --
SELECT * FROM pgknowbase_pgai_copy_v1(%(vectorizer)s, %(space)s, %(source)s, %(rows)s::jsonb, %(ids)s::text[],
    %(places)s::integer[], %(olds)s::integer[], %(versions)s::text[], %(news)s::integer[], %(chunks)s::text[])

-- document_texts --
SELECT d.id, d.title, d.content FROM pgknowbase_document AS d
WHERE d.source = %(source)s AND d.id = ANY (%(ids)s::text[]) ORDER BY d.id

-- queue_done --
SELECT pgknowbase_queue_done_v1(%(vectorizer)s, %(source)s, %(ids)s::text[])

-- pgai_retire --
SELECT pgknowbase_pgai_retire_v1(%(vectorizer)s, %(adopted)s::jsonb)

-- pgai_restore --
SELECT pgknowbase_pgai_restore_v1(%(vectorizer)s)

-- pgai_requeue --
SELECT * FROM pgknowbase_pgai_requeue_v1(%(vectorizer)s)

-- pgai_drop --
SELECT ai.drop_vectorizer(%(vectorizer)s, drop_all => %(with_store)s)
