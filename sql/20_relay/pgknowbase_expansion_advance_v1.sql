-- Records how far an expansion has come. done_to: the last object that is done; NULL: all are, and its row goes.
CREATE OR REPLACE FUNCTION pgknowbase_expansion_advance_v1(expansion bigint, done_to text) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER SET search_path FROM CURRENT
AS $pgknowbase$
BEGIN
    IF done_to IS NULL THEN
        DELETE FROM pgknowbase_expansion AS x WHERE x.id = expansion;
    ELSE
        UPDATE pgknowbase_expansion AS x SET after = done_to, turned_at = clock_timestamp() WHERE x.id = expansion;
    END IF;
END
$pgknowbase$;
