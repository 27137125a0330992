-- Records which embedder makes the vectors of a space, before it makes the first one, and returns what stands there.
-- fingerprint: what decides a vector besides its text: class, model, dimensions and options of the embedder. A store
-- that holds vectors of several is 'mixed', and none of them is taken for another text; an empty one starts anew.
CREATE OR REPLACE FUNCTION pgknowbase_space_made_by_v1(space bigint, fingerprint text) RETURNS text
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER SET search_path FROM CURRENT
AS $pgknowbase$
DECLARE
    _space pgknowbase_space;
    _filled boolean;
    _found text;
BEGIN
    SELECT s.* INTO _space FROM pgknowbase_space AS s WHERE s.id = space;
    IF _space.fingerprint IS NULL OR _space.fingerprint = fingerprint THEN
        RETURN _space.fingerprint;
    END IF;
    EXECUTE format('SELECT EXISTS (SELECT 1 FROM %I.%I)', _space.store_schema, _space.store_table) INTO _filled;
    UPDATE pgknowbase_space AS s
    SET fingerprint = CASE
        WHEN s.fingerprint IN ('', pgknowbase_space_made_by_v1.fingerprint) OR NOT _filled
        THEN pgknowbase_space_made_by_v1.fingerprint ELSE 'mixed' END
    WHERE s.id = space
    RETURNING s.fingerprint INTO _found;
    RETURN _found;
END
$pgknowbase$;
