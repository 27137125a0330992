CREATE OR REPLACE FUNCTION {pgid}() RETURNS trigger
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path FROM CURRENT
AS $pgknowbase$
BEGIN
    IF current_setting('pgtrigger.ignore', true) <> '' THEN
        -- Not read as an array: pgtrigger lists tables too, and quotes no name.
        IF strpos(translate(current_setting('pgtrigger.ignore', true), '{{}}', ',,'), concat(',', TG_NAME, ',')) > 0 THEN
            RETURN NULL;
        END IF;
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
-- A statement that names a partition does not fire the statement triggers of the whole: there, each row does.
DO $pgknowbase$
BEGIN
    IF EXISTS (
        SELECT 1 FROM pg_trigger AS t JOIN pg_class AS c ON c.oid = t.tgrelid
        WHERE t.tgfoid = '{pgid}'::regproc AND c.relkind = 'p' AND num_nulls(t.tgnewtable, t.tgoldtable) < 2
    ) THEN
        DROP TRIGGER {pgid} ON {table};
        CREATE TRIGGER {pgid} {when} {operation} ON {table} FOR EACH ROW {condition} EXECUTE FUNCTION {pgid}();
    END IF;
END
$pgknowbase$;
COMMENT ON TRIGGER {pgid} ON {table} IS '{hash}';
