-- Records that changed rows concern objects of a source that are yet to be looked up; null keys stand for all rows.
CREATE OR REPLACE FUNCTION pgknowbase_expansion_add_v1(source text, path text, object_keys text[]) RETURNS bigint
LANGUAGE sql VOLATILE PARALLEL UNSAFE SECURITY INVOKER SET search_path FROM CURRENT
AS $pgknowbase$
    INSERT INTO pgknowbase_expansion (source, path, object_keys) VALUES (source, path, object_keys) RETURNING id
$pgknowbase$;
