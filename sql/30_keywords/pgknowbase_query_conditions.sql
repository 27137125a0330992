-- What documents have to satisfy to be found by a search text, by their language, for pgknowbase_meets_conditions; NULL for a
-- text that is just words (pgknowbase_parse_query).
--
--   queries  by language, a tsquery; null: nothing
--   any      the documents of all languages that may satisfy theirs, as a tsquery that the index serves; null: there is none
--   long     with phrases: by language, the condition of documents that do not tell the places of their words
--   found    which phrases such documents have, as a tsvector, by source:id. Their texts are read, up to a million words in
--            all, the shortest texts first; beyond, no phrase is found
-- requires: pgknowbase_query_condition, pgknowbase_word_maker, pgknowbase_contains_phrase, pgknowbase_read_shard_documents_v1
CREATE OR REPLACE FUNCTION pgknowbase_query_conditions(query text, sources integer[]) RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY INVOKER SET search_path FROM CURRENT SET jit = off
SET standard_conforming_strings = on -- a session may read the backslashes below in another way
SET plan_cache_mode = force_custom_plan
SET enable_seqscan = off
AS $pgknowbase$
#variable_conflict use_variable
DECLARE
    _is_distributed CONSTANT boolean := to_regclass('pgknowbase_shard_keywords') IS NOT NULL;
    _conditions jsonb;
    _phrases jsonb;
    _long tsquery;
    _found jsonb;
BEGIN
    IF NOT EXISTS (SELECT FROM pgknowbase_parse_query(query) AS p WHERE p.required) THEN
        RETURN NULL;
    END IF;
    WITH spoken AS MATERIALIZED (
        SELECT d.language,
            CASE WHEN pgknowbase_word_maker(d.language) IS NULL THEN 'simple' ELSE d.language END AS configuration
        FROM (
            SELECT DISTINCT c.language FROM pgknowbase_corpus AS c WHERE sources IS NULL OR c.source = ANY (sources)
        ) AS d
    ), asked AS (
        SELECT s.language, pgknowbase_query_condition(query, s.configuration) AS placed,
            pgknowbase_query_condition(query, s.configuration, placed => false) AS long
        FROM spoken AS s
    )
    SELECT jsonb_build_object(
            'queries', coalesce(jsonb_object_agg(a.language, a.placed::text), '{}'),
            'any', CASE WHEN bool_and(coalesce(querytree(a.placed) <> 'T', false)) THEN string_agg(DISTINCT format('(%s)', a.placed), '|') END)
        || CASE WHEN bool_or(a.placed IS DISTINCT FROM a.long)
            THEN jsonb_build_object('long', jsonb_object_agg(a.language, a.long::text)) ELSE '{}' END,
        (
            SELECT jsonb_agg(jsonb_build_object('language', s.language, 'configuration', s.configuration, 'place', p.place,
                'in_title', p.in_title, 'words', w.words))
            FROM spoken AS s
            CROSS JOIN pgknowbase_parse_query(query) WITH ORDINALITY AS p (
                clause, content, required, excluded, in_title, is_prefix, is_phrase, place)
            CROSS JOIN LATERAL pgknowbase_part_tsquery(s.configuration, p.content, false, p.is_prefix) AS w (words)
            WHERE p.required AND w.words ~ '<(-|\d+)>')
    INTO _conditions, _phrases
    FROM asked AS a;
    IF NOT _conditions ? 'long' THEN
        RETURN _conditions;
    END IF;
    SELECT string_agg(DISTINCT format('(''^0'' & %s)', regexp_replace(p.words, '<(-|\d+)>', '&', 'g')), '|')::tsquery INTO _long
    FROM jsonb_to_recordset(_phrases) AS p (words text);
    WITH long AS MATERIALIZED (
        SELECT o.source, o.id, o.language
        FROM (
            SELECT k.source, k.id, k.language, sum(k.length) OVER (ORDER BY k.length, k.source, k.id) AS words
            FROM (
                SELECT w.source, w.id, w.language, w.length FROM pgknowbase_keywords AS w
                WHERE NOT _is_distributed AND w.words @@ _long AND (sources IS NULL OR w.source = ANY (sources))
                UNION ALL
                SELECT s.source, s.id, s.language, s.length
                FROM pgknowbase_read_shard_keywords(wanted => _long, sources => sources, with_words => false) AS s
                WHERE _is_distributed
            ) AS k
        ) AS o
        WHERE o.words <= 1000000
    )
    SELECT jsonb_object_agg(f.source || ':' || f.id, f.phrases) INTO _found
    FROM (
        SELECT d.source, d.id, string_agg(format('''^p%s''', p.place), ' ') AS phrases
        FROM long AS d
        JOIN jsonb_to_recordset(_phrases) AS p (
            language text, configuration text, place bigint, in_title boolean, words text) ON p.language = d.language
        CROSS JOIN LATERAL (
            SELECT t.title, t.content FROM pgknowbase_document AS t WHERE t.source = d.source AND t.id = d.id OFFSET 0
        ) AS t
        LEFT JOIN pgknowbase_read_shard_documents_v1(
            (SELECT array_agg(o.source) FROM long AS o), (SELECT array_agg(o.id) FROM long AS o)) AS s
            ON s.source = d.source AND s.id = d.id
        WHERE pgknowbase_contains_phrase(
            p.configuration, CASE WHEN p.in_title THEN t.title ELSE concat(t.title, E'\n', coalesce(t.content, s.content)) END,
            p.words::tsquery)
        GROUP BY d.source, d.id
    ) AS f;
    RETURN _conditions || jsonb_build_object(
        'found', coalesce(_found, '{}'), 'any', (_conditions ->> 'any') || '|''^0''');
END
$pgknowbase$;
