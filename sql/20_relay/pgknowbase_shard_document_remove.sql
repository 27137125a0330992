-- Trigger after DELETE or TRUNCATE of documents, while their texts are distributed: deletes them there, too.
CREATE OR REPLACE FUNCTION pgknowbase_shard_document_remove() RETURNS trigger
LANGUAGE plpgsql VOLATILE SECURITY INVOKER SET search_path FROM CURRENT
AS $pgknowbase$
DECLARE
    _source integer;
    _ids text[];
BEGIN
    IF tg_op = 'TRUNCATE' THEN
        TRUNCATE pgknowbase_shard_document;
        RETURN NULL;
    END IF;
    FOR _source, _ids IN SELECT g.source, array_agg(g.id) FROM gone AS g GROUP BY g.source LOOP
        DELETE FROM pgknowbase_shard_document AS d WHERE d.source = _source AND d.id = ANY (_ids);
    END LOOP;
    RETURN NULL;
END
$pgknowbase$;
