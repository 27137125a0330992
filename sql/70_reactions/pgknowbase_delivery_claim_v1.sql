-- Takes runs that are due, the oldest first, for a worker that beats (or for none, inside a transaction). A row for
-- which the reaction is running waits. started_at is the token with which the run is settled.
CREATE OR REPLACE FUNCTION pgknowbase_delivery_claim_v1(reactions text[], worker uuid, max_runs integer)
RETURNS TABLE (
    id bigint, reaction text, object_key text, op text, chain text, idempotency_key uuid, attempts integer, error text,
    created_at timestamptz, started_at timestamptz)
LANGUAGE sql VOLATILE PARALLEL UNSAFE SECURITY INVOKER SET search_path FROM CURRENT
SET enable_seqscan = off
SET jit = off
AS $pgknowbase$
    WITH free AS MATERIALIZED (
        SELECT d.id FROM pgknowbase_delivery AS d
        WHERE d.state = 'pending' AND d.due_at <= statement_timestamp() AND d.reaction = ANY (reactions)
            AND (pgknowbase_delivery_claim_v1.worker IS NULL
                OR EXISTS (SELECT FROM pgknowbase_worker AS w WHERE w.id = pgknowbase_delivery_claim_v1.worker))
            AND NOT EXISTS (
                SELECT FROM pgknowbase_delivery AS r
                WHERE r.state = 'running' AND r.reaction = d.reaction AND r.object_key = d.object_key)
        ORDER BY d.due_at LIMIT max_runs FOR UPDATE OF d SKIP LOCKED
    )
    UPDATE pgknowbase_delivery AS d
    SET state = 'running', attempts = d.attempts + 1, worker = pgknowbase_delivery_claim_v1.worker,
        started_at = clock_timestamp(), finished_at = NULL
    FROM free WHERE d.id = free.id
    RETURNING d.id, d.reaction, d.object_key, d.op, d.chain, d.idempotency_key, d.attempts, d.error, d.created_at,
        d.started_at
$pgknowbase$;
