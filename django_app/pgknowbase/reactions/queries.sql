-- Statements that Python runs; core/queries.sql says how they are written.

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
