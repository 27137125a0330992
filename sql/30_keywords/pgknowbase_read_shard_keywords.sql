-- The words of documents where they are distributed (pgknowbase_keywords_distribute_v1), as rows of pgknowbase_keywords: of those
-- documents that satisfy all that is given, at_most many. One statement without a join, which Citus sends to all shards, or to
-- those of ids. Where they are not distributed, none.
--
--   wanted        documents with these words
--   met           and, of all of them, those that have these words, too
--   queries       by language, a tsquery that they have to satisfy as well
--   first, last   of numbers from the one to the other
--   numbers       with later: up to the last number the documents of these numbers, and those with the words wanted;
--                 of later numbers those with the words later
--   sampled       of so many percent of the blocks of each shard, drawn at random
--   with_words    false: who counts documents, or looks them up, need not be sent their words
--
-- Where the search is to answer without some servers, from the others: see pgknowbase_shards_that_answer.
CREATE OR REPLACE FUNCTION pgknowbase_read_shard_keywords(
    wanted tsquery DEFAULT NULL, met tsquery DEFAULT NULL, queries jsonb DEFAULT NULL, sources integer[] DEFAULT NULL,
    ids text[] DEFAULT NULL, first bigint DEFAULT NULL, last bigint DEFAULT NULL, numbers bigint[] DEFAULT NULL,
    later tsquery DEFAULT NULL, at_most bigint DEFAULT NULL, sampled real DEFAULT NULL, with_words boolean DEFAULT true)
RETURNS SETOF pgknowbase_keywords
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED SECURITY INVOKER ROWS 100 SET search_path FROM CURRENT
AS $pgknowbase$
DECLARE
    _statement CONSTANT text := format(
        $sql$
        SELECT k.source, k.id, k.language, %s, k.length, ''::text AS maker, %s, false AS stale, k.number
        FROM <\shard> AS k %s WHERE %s %s
        $sql$,
        CASE WHEN with_words THEN 'k.words' ELSE 'NULL::tsvector AS words' END,
        CASE WHEN with_words THEN 'k.frequent' ELSE 'NULL::jsonb AS frequent' END,
        'TABLESAMPLE SYSTEM (' || sampled || ')',
        concat_ws(' AND ',
            CASE WHEN later IS NULL THEN coalesce('k.words @@ ' || quote_literal(wanted) || '::tsquery', 'true') ELSE format(
                $sql$
                (k.number <= %1$s AND (k.number = ANY (%2$L) OR k.words @@ %3$L::tsquery)
                    OR k.number > %1$s AND k.words @@ %4$L::tsquery)
                $sql$, last, numbers, wanted, later) END,
            'k.words @@ ' || quote_literal(met) || '::tsquery',
            'k.words @@ CASE k.language' || (
                SELECT string_agg(format(' WHEN %L THEN %L::tsquery', q.key, q.value), '') FROM jsonb_each_text(queries) AS q)
                || ' END',
            'k.source = ANY (' || quote_literal(sources) || ')',
            'k.id = ANY (' || quote_literal(ids) || ')',
            'k.number >= ' || first,
            'k.number <= ' || CASE WHEN later IS NULL THEN last END),
        'LIMIT ' || at_most);
BEGIN
    IF to_regclass('pgknowbase_shard_keywords') IS NULL THEN
        RETURN;
    ELSIF NOT EXISTS (SELECT FROM pg_extension AS x WHERE x.extname = 'citus') THEN
        RAISE EXCEPTION 'the words of documents are distributed, and this database has no extension citus'
            USING ERRCODE = 'PK002', HINT = 'Connect to the coordinator of its cluster, or make the words anew.';
    END IF;
    IF pgknowbase_is_partial_v1() THEN
        RETURN QUERY
        SELECT r.* FROM pgknowbase_shards_that_answer('pgknowbase_shard_keywords', _statement) AS f
        CROSS JOIN LATERAL jsonb_populate_record(NULL::pgknowbase_keywords, f) AS r
        LIMIT at_most;
        RETURN;
    END IF;
    PERFORM pgknowbase_limit_connecting();
    RETURN QUERY EXECUTE replace(_statement, '<\shard>', 'pgknowbase_shard_keywords');
END
$pgknowbase$;
