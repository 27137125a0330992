-- The key of the advisory lock that who gives documents numbers beyond this one holds until they commit.
CREATE OR REPLACE FUNCTION pgknowbase_number_lock(number bigint) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE SECURITY INVOKER SET search_path FROM CURRENT
AS $pgknowbase$
    SELECT (20555::bigint << 48) | number
$pgknowbase$;
