-- Trigger after DELETE or TRUNCATE of pgknowbase_keywords, while the words are distributed: deletes them there, too.
CREATE OR REPLACE FUNCTION pgknowbase_shard_keywords_remove() RETURNS trigger
LANGUAGE plpgsql VOLATILE SECURITY INVOKER SET search_path FROM CURRENT
AS $pgknowbase$
DECLARE
    _source integer;
    _ids text[];
BEGIN
    IF tg_op = 'TRUNCATE' THEN
        TRUNCATE pgknowbase_shard_keywords;
        RETURN NULL;
    END IF;
    FOR _source, _ids IN SELECT g.source, array_agg(g.id) FROM gone AS g GROUP BY g.source LOOP
        DELETE FROM pgknowbase_shard_keywords AS k WHERE k.source = _source AND k.id = ANY (_ids);
    END LOOP;
    RETURN NULL;
END
$pgknowbase$;
