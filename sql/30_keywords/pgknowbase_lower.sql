-- A text in lower case: by the database's own locale, where that knows letters beyond ASCII; else, as under the locale C,
-- by a collation of the server's that does. Where there is none either, the text as it is.
CREATE OR REPLACE FUNCTION pgknowbase_lower(content text) RETURNS text
LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY INVOKER SET search_path FROM CURRENT
AS $pgknowbase$
DECLARE
    _collation regcollation;
    _lower text := content;
BEGIN
    IF lower('ÉЖ' COLLATE "default") = 'éж' THEN
        RETURN lower(content COLLATE "default");
    END IF;
    SELECT c.oid INTO _collation
    FROM unnest('{pg_c_utf8, C.utf8, C.UTF-8, en_US.utf8, und-x-icu}'::name[]) WITH ORDINALITY AS o (name, place)
    JOIN pg_collation AS c ON c.collname = o.name AND c.collnamespace = 'pg_catalog'::regnamespace
        AND c.collencoding IN (-1, pg_char_to_encoding(getdatabaseencoding()))
    ORDER BY o.place LIMIT 1;
    IF FOUND THEN
        EXECUTE format('SELECT lower($1 COLLATE %s)', _collation) INTO _lower USING content;
    END IF;
    RETURN _lower;
END
$pgknowbase$;
