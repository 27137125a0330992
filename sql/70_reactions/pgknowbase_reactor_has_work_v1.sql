-- Whether the named reactions have work: changes, and runs that are due or have lost their worker.
-- held: the runs that this worker holds; any other run in its name was lost with a connection.
CREATE OR REPLACE FUNCTION pgknowbase_reactor_has_work_v1(reactions text[], worker uuid, held bigint[])
RETURNS TABLE (events boolean, due boolean, lost boolean)
LANGUAGE sql STABLE PARALLEL SAFE SECURITY INVOKER SET search_path FROM CURRENT
AS $pgknowbase$
    SELECT
        EXISTS (SELECT FROM pgknowbase_reaction_event AS e WHERE e.reaction = ANY (reactions)),
        EXISTS (
            SELECT FROM pgknowbase_delivery AS d
            WHERE d.state = 'pending' AND d.due_at <= statement_timestamp() AND d.reaction = ANY (reactions)
        ),
        EXISTS (
            SELECT FROM pgknowbase_delivery AS d
            WHERE d.state = 'running' AND (
                d.worker = pgknowbase_reactor_has_work_v1.worker AND d.id <> ALL (held)
                OR NOT EXISTS (SELECT FROM pgknowbase_worker AS w WHERE w.id = d.worker))
        )
$pgknowbase$;
