-- Grants on a table to whoever has them on another one, and gives it to the owner of that one.
CREATE OR REPLACE FUNCTION pgknowbase_copy_grants(of_table regclass, to_table regclass) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER SET search_path FROM CURRENT
AS $pgknowbase$
DECLARE
    _statement text;
BEGIN
    FOR _statement IN
        SELECT format('GRANT %s ON %s TO %s', a.privilege_type, to_table,
            CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END)
        FROM pg_class AS c CROSS JOIN LATERAL aclexplode(c.relacl) AS a
        WHERE c.oid = of_table AND a.grantee <> c.relowner
    LOOP
        EXECUTE _statement;
    END LOOP;
    SELECT format('ALTER TABLE %s OWNER TO %I', to_table, pg_get_userbyid(o.relowner)) INTO _statement
    FROM pg_class AS o JOIN pg_class AS n ON n.oid = to_table
    WHERE o.oid = of_table AND n.relowner <> o.relowner;
    IF FOUND THEN
        EXECUTE _statement;
    END IF;
END
$pgknowbase$;
