-- Pins the search path of a capture trigger's function to the schema of the outbox. The function is SECURITY DEFINER
-- because a writer of the watched table need not have, and should not need, rights on the outbox; it takes no input
-- but the row, and nobody may call it by hand.
CREATE OR REPLACE FUNCTION pgknowbase_trigger_secure_v1(trigger_function text) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER
AS $pgknowbase$
DECLARE
    _outbox name;
BEGIN
    SELECT n.nspname INTO STRICT _outbox
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
    WHERE c.oid OPERATOR(pg_catalog.=) 'pgknowbase_outbox'::pg_catalog.regclass;
    EXECUTE pg_catalog.format(
        'ALTER FUNCTION %s() SET search_path = pg_catalog, %I, pg_temp',
        trigger_function::pg_catalog.regproc, _outbox);
    EXECUTE pg_catalog.format('REVOKE ALL ON FUNCTION %s() FROM PUBLIC', trigger_function::pg_catalog.regproc);
END
$pgknowbase$;
