-- Statements that Python runs; core/queries.sql says how they are written.

-- relay_has_work --
SELECT * FROM pgknowbase_relay_has_work_v1(
    %(labels)s::text[], %(low_watermark)s, %(open)s::bigint[], %(since)s::bigint[], %(source_ids)s::int[],
    %(refreshed)s::int[])

-- relay_wait --
CALL pgknowbase_relay_wait_v1(
    %(labels)s::text[], %(low_watermark)s, %(open)s::bigint[], %(since)s::bigint[], %(source_ids)s::int[],
    %(refreshed)s::int[], %(seconds)s, NULL, NULL, NULL, NULL)

-- outbox_claim --
SELECT * FROM pgknowbase_outbox_claim_v1(
    %(labels)s::text[], %(low_watermark)s, %(open)s::bigint[], %(since)s::bigint[], %(max_keys)s)

-- outbox_low_watermark --
SELECT * FROM pgknowbase_outbox_low_watermark_v1(
    %(labels)s::text[], %(low_watermark)s, %(open)s::bigint[], %(since)s::bigint[])

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

-- object_state --
SELECT * FROM pgknowbase_object_state_v1(%(source)s, %(label)s, %(object_key)s, %(known)s::bigint[])
