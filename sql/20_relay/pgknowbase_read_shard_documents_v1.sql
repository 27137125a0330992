-- The texts of documents where they are distributed (pgknowbase_documents_distribute_v1): of those whose key is among the keys
-- given, and of others that have one's source and another's id. Where they are not distributed, none. digest is the md5 of the
-- text: of a document that is being written the one server may show the old text and the other the new digest, for a moment.
--
--   with_texts   false: who compares texts need not be sent them
--
-- Where the search is to answer without some servers, from the others: see pgknowbase_shards_that_answer.
CREATE OR REPLACE FUNCTION pgknowbase_read_shard_documents_v1(
    sources integer[], ids text[], with_texts boolean DEFAULT true)
RETURNS TABLE (source integer, id text, content text, digest text)
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED SECURITY INVOKER ROWS 100 SET search_path FROM CURRENT
AS $pgknowbase$
DECLARE
    _statement text;
BEGIN
    IF ids IS NULL OR to_regclass('pgknowbase_shard_document') IS NULL THEN
        RETURN;
    ELSIF NOT EXISTS (SELECT FROM pg_extension AS x WHERE x.extname = 'citus') THEN
        RAISE EXCEPTION 'the texts of documents are distributed, and this database has no extension citus'
            USING ERRCODE = 'PK002', HINT = 'Connect to the coordinator of its cluster.';
    END IF;
    _statement := format(
        'SELECT d.source, d.id, %s AS content, md5(d.content) AS digest FROM <\shard> AS d WHERE d.source = ANY (%L) AND d.id = ANY (%L)',
        CASE WHEN with_texts THEN 'd.content' ELSE 'NULL::text' END, (SELECT array_agg(DISTINCT s) FROM unnest(sources) AS s), ids);
    IF pgknowbase_is_partial_v1() THEN
        RETURN QUERY
        SELECT r.* FROM pgknowbase_shards_that_answer('pgknowbase_shard_document', _statement) AS f
        CROSS JOIN LATERAL jsonb_to_record(f) AS r (source integer, id text, content text, digest text);
        RETURN;
    END IF;
    PERFORM pgknowbase_limit_connecting();
    RETURN QUERY EXECUTE replace(_statement, '<\shard>', 'pgknowbase_shard_document');
END
$pgknowbase$;
