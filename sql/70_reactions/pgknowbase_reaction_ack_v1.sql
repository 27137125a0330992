-- Deletes claimed changes.
CREATE OR REPLACE FUNCTION pgknowbase_reaction_ack_v1(ids bigint[]) RETURNS bigint
LANGUAGE sql VOLATILE PARALLEL UNSAFE SECURITY INVOKER SET search_path FROM CURRENT
AS $pgknowbase$
    WITH gone AS (DELETE FROM pgknowbase_reaction_event AS e WHERE e.id = ANY (ids) RETURNING 1)
    SELECT count(*) FROM gone
$pgknowbase$;
