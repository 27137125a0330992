-- A vector of 16,000 times the same number. Doubling is eight times as quick as an array of them.
DO $pgknowbase$ BEGIN PERFORM '[1]'::vector; END $pgknowbase$;
CREATE OR REPLACE FUNCTION pgknowbase_vector_of(value real) RETURNS vector
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SECURITY INVOKER SET search_path FROM CURRENT
AS $pgknowbase$
DECLARE
    _vector vector := array_fill(value, ARRAY[125]);
BEGIN
    FOR n IN 1..7 LOOP
        _vector := _vector || _vector;
    END LOOP;
    RETURN _vector;
END
$pgknowbase$;
