-- Gives a chunk store the triggers that keep the vectors beside the external data right: see pgknowbase_forget_vectors. A
-- distributed store has none.
CREATE OR REPLACE FUNCTION pgknowbase_keep_beside(store_schema name, store_table name) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER SET search_path FROM CURRENT
AS $pgknowbase$
DECLARE
    _schema CONSTANT name := (
        SELECT n.nspname FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
        WHERE c.oid = 'pgknowbase_document'::regclass);
BEGIN
    EXECUTE format($sql$
        CREATE TRIGGER pgknowbase_vectors_insert AFTER INSERT ON %1$I.%2$I
            REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION %3$I.pgknowbase_forget_vectors();
        CREATE TRIGGER pgknowbase_vectors_update AFTER UPDATE ON %1$I.%2$I
            REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
            FOR EACH STATEMENT EXECUTE FUNCTION %3$I.pgknowbase_forget_vectors();
        CREATE TRIGGER pgknowbase_vectors_delete AFTER DELETE ON %1$I.%2$I
            REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION %3$I.pgknowbase_forget_vectors();
        CREATE TRIGGER pgknowbase_vectors_truncate AFTER TRUNCATE ON %1$I.%2$I
            FOR EACH STATEMENT EXECUTE FUNCTION %3$I.pgknowbase_forget_vectors();
        $sql$, store_schema, store_table, _schema);
END
$pgknowbase$;
