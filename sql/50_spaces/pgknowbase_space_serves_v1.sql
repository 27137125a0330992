-- Whether pgknowbase_chunk shows this space and the table of spaces says so too; the view goes on doing so until the
-- end of the transaction: having read the view keeps it from being replaced. The id is a constant of the view, so that
-- what is read and what is compared cannot differ, whatever the snapshot; the plan compares it once and reads no chunk.
CREATE OR REPLACE FUNCTION pgknowbase_space_serves_v1(space bigint) RETURNS boolean
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED SECURITY INVOKER SET search_path FROM CURRENT
AS $pgknowbase$
BEGIN
    IF NOT EXISTS (SELECT 1 FROM pgknowbase_space AS s WHERE s.id = space AND s.is_active) THEN
        RETURN false; -- before the view, whose chunks of another space Citus would fetch
    END IF;
    RETURN NOT EXISTS (SELECT 1 FROM pgknowbase_chunk AS c WHERE c.space_id <> space LIMIT 1);
END
$pgknowbase$;
