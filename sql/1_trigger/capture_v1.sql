CREATE OR REPLACE FUNCTION {pgid}() RETURNS trigger
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path FROM CURRENT
AS $pgknowbase$
BEGIN
    IF TG_NAME = ANY (nullif(current_setting('pgtrigger.ignore', true), '')::text[]) THEN
        RETURN NULL;
    END IF;
    {func}
    RETURN NULL;
END
$pgknowbase$;
SELECT pgknowbase_trigger_secure_v1('{pgid}');
DROP TRIGGER IF EXISTS {pgid} ON {table};
CREATE TRIGGER {pgid}
    {when} {operation} ON {table}
    {referencing}
    FOR EACH {level} {condition}
    EXECUTE FUNCTION {pgid}();
COMMENT ON TRIGGER {pgid} ON {table} IS '{hash}';
