-- Trigger after DELETE or TRUNCATE of documents or their words, while what belongs to them is distributed: deletes it there, too.
-- Its argument is the distributed table.
CREATE OR REPLACE FUNCTION pgknowbase_shard_rows_remove() RETURNS trigger
LANGUAGE plpgsql VOLATILE SECURITY INVOKER SET search_path FROM CURRENT
AS $pgknowbase$
DECLARE
    _source integer;
    _ids text[];
BEGIN
    IF tg_op = 'TRUNCATE' THEN
        EXECUTE format('TRUNCATE %I', tg_argv[0]);
        RETURN NULL;
    END IF;
    FOR _source, _ids IN SELECT g.source, array_agg(g.id) FROM gone AS g GROUP BY g.source LOOP
        EXECUTE format('DELETE FROM %I AS r WHERE r.source = $1 AND r.id = ANY ($2)', tg_argv[0]) USING _source, _ids;
    END LOOP;
    RETURN NULL;
END
$pgknowbase$;
