-- Lets reactions run for changed rows; rows are objects with the columns below, each pair of reaction and key once.
-- A run that still waits takes the change in, and is then another one, with a key of its own. The longer chain stays,
-- so that no loop gets free of its past. An error makes a dead letter at once.
CREATE OR REPLACE FUNCTION pgknowbase_delivery_add_v1(rows jsonb) RETURNS void
LANGUAGE sql VOLATILE PARALLEL UNSAFE SECURITY INVOKER SET search_path FROM CURRENT
AS $pgknowbase$
    INSERT INTO pgknowbase_delivery AS d (
        reaction, model, object_key, op, chain, event, created_at, due_at, attempts, idempotency_key,
        state, error, finished_at)
    SELECT r.reaction, r.model, r.object_key, r.op, r.chain, r.event, r.created_at, clock_timestamp(), 0,
        gen_random_uuid(), CASE r.error WHEN '' THEN 'pending' ELSE 'dead' END, r.error,
        CASE WHEN r.error <> '' THEN clock_timestamp() END
    FROM jsonb_to_recordset(rows) AS r (
        reaction text, model text, object_key text, op text, chain text, event bigint, created_at timestamptz,
        error text)
    -- Two of these at once lock the pending rows in the same order.
    ORDER BY r.reaction, r.object_key
    ON CONFLICT (reaction, object_key) WHERE state = 'pending' DO UPDATE SET
        op = CASE
            WHEN excluded.event < d.event THEN d.op
            WHEN d.op = 'I' AND excluded.op = 'U' THEN 'I'
            ELSE excluded.op
        END,
        chain = CASE WHEN length(excluded.chain) > length(d.chain) THEN excluded.chain ELSE d.chain END,
        event = greatest(d.event, excluded.event),
        idempotency_key = excluded.idempotency_key, due_at = excluded.due_at, attempts = 0, error = ''
$pgknowbase$;
