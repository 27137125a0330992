-- Statements that Python runs; core/queries.sql says how they are written.

-- requeue --
SELECT pgknowbase_requeue_v1(%(source)s, %(object_keys)s::text[], %(anew)s)

-- queue_claim --
-- The lease as ISO 8601 with its zone: without USE_TZ Django reads it as a naive time, which may mean two moments.
SELECT item::text, to_jsonb(lease) #>> '{}', attempts, source, id, title, content, backfill
FROM pgknowbase_queue_claim_v1(
    %(vectorizer)s, %(max_items)s, %(lease_seconds)s, %(only_source)s, %(only_id)s, %(worker)s, %(fresh_only)s,
    %(marked)s)

-- queue_release --
SELECT pgknowbase_queue_release_v1(
    %(vectorizer)s, %(items)s::tid[], %(lease)s::timestamptz, %(delay)s::float8, %(reason)s, %(attempt)s,
    %(until)s::timestamptz)

-- queue_absent --
SELECT source, id FROM pgknowbase_queue_absent_v1(
    %(vectorizer)s, %(items)s::tid[], %(lease)s::timestamptz, %(reason)s, %(patience)s::float8, %(max_attempts)s,
    %(delay)s::float8, %(max_delay)s::float8)

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

-- rate_take --
SELECT * FROM pgknowbase_rate_take_v1(
    %(provider)s, %(model)s, %(wanted)s::float8[], %(limits)s::float8[], %(background)s)

-- rate_correct --
SELECT pgknowbase_rate_correct_v1(
    %(provider)s, %(model)s, %(given)s::float8[], %(reported)s::float8[], %(remaining)s::float8[], %(throttled)s)

-- in_flight_enter --
SELECT pgknowbase_in_flight_enter_v1(%(executor)s, %(keys)s::bigint[], %(seconds)s, %(worker)s)

-- in_flight_leave --
DELETE FROM pgknowbase_in_flight WHERE executor = %(executor)s RETURNING executor

-- in_flight --
SELECT EXISTS (
    SELECT FROM pgknowbase_in_flight AS f WHERE f.expires_at > clock_timestamp() AND f.keys && %(keys)s::bigint[])
