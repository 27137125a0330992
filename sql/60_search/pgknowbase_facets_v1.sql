-- How many objects there are of each tag, model, value of a metadata key or period: of those that pass a filter, and, with a
-- search text, that a keyword search for it finds. As JSON:
--
--   {"documents": 12, "is_complete": true, "facets": {"tags": {"distinct": 2, "values": [["howto", 9], ["news", 4]]}}}
--
--   facets        what to count by: tags; model; metadata.KEY, where each element of a list counts and only texts of up to 200
--                 characters, numbers and booleans do; updated:PERIOD and created:PERIOD, the times of the object's entry in the
--                 index; metadata.KEY:PERIOD of dates in ISO's form. A period is day, month or year
--   query         a search text, or NULL
--   filter        see the type pgknowbase_filter; of its threshold nothing is asked
--   most_values   of each facet those that most objects have, or the latest periods
--   most_objects  so many objects at most are counted, and of those that have a word of the text looked at; is_complete is false
--                 where there may be more
--   zone          time zone of the periods of updated and created
--
--   SELECT pgknowbase_facets_v1('{tags,updated:month}', 'gzip', pgknowbase_filter_v1(visible_to => ''));
CREATE OR REPLACE FUNCTION pgknowbase_facets_v1(
    facets text[], query text DEFAULT NULL, filter pgknowbase_filter DEFAULT NULL, most_values integer DEFAULT 20,
    most_objects integer DEFAULT 100000, zone text DEFAULT 'UTC')
RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED SECURITY INVOKER
SET search_path FROM CURRENT
SET plan_cache_mode = 'force_custom_plan'
SET max_parallel_workers_per_gather = 0
SET work_mem = '32MB'
SET jit = 'off'
SET standard_conforming_strings = on -- a session may read the backslashes below in another way
AS $pgknowbase$
#variable_conflict use_variable
DECLARE
    _is_distributed CONSTANT boolean := to_regclass('pgknowbase_shard_keywords') IS NOT NULL;
    _unknown text;
    _terms jsonb;
    _words jsonb;
    _any tsquery;
    _conditions jsonb;
BEGIN
    SELECT f.name INTO _unknown FROM unnest(facets) AS f (name)
    WHERE f.name IS NULL OR f.name !~ '^(tags|model|metadata\..+|(updated|created):(day|month|year))$' LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'there is no facet %', quote_nullable(_unknown) USING ERRCODE = 'invalid_parameter_value',
            HINT = 'Use tags, model, metadata.KEY, updated:month or created:month.';
    END IF;
    IF query IS NOT NULL THEN
        _conditions := pgknowbase_query_conditions(query, filter.sources);
        SELECT jsonb_agg(t) INTO _terms
        FROM (
            SELECT q.*
            FROM pgknowbase_read_query(query) AS r CROSS JOIN LATERAL pgknowbase_tokenize_query(r.words, filter.sources) AS q
            UNION ALL
            SELECT p.*
            FROM pgknowbase_read_query(query) AS r
            CROSS JOIN LATERAL pgknowbase_tokenize_prefixes(r.prefixes, filter.sources) AS p
        ) AS t;
        IF filter.synonyms IS NOT NULL AND _terms IS NOT NULL THEN
            _terms := pgknowbase_add_synonyms(_terms, (pgknowbase_read_query(query)).words, filter.synonyms);
        END IF;
        SELECT jsonb_object_agg(w.language, w.words), string_agg(w.words, '|')::tsquery INTO _words, _any
        FROM (
            SELECT t.language, string_agg(t.word, '|') AS words
            FROM jsonb_to_recordset(_terms) AS t (language text, word text) GROUP BY t.language
        ) AS w;
        _any := coalesce(_any, '''^'''); -- no text has it
    END IF;
    RETURN (
        WITH of_shards AS MATERIALIZED (
            SELECT s.source, s.id, s.language, s.words
            FROM pgknowbase_read_shard_keywords(
                wanted => _any, queries => _words, sources => filter.sources, at_most => most_objects,
                with_words => _conditions IS NOT NULL) AS s
            WHERE _is_distributed AND query IS NOT NULL
        ), worded AS MATERIALIZED (
            SELECT k.source, k.id
            FROM (
                SELECT w.source, w.id, w.language, w.words FROM pgknowbase_keywords AS w
                WHERE NOT _is_distributed AND query IS NOT NULL AND w.words @@ _any AND w.words @@ (_words ->> w.language)::tsquery
                    AND (filter.sources IS NULL OR w.source = ANY (filter.sources))
                UNION ALL
                SELECT s.source, s.id, s.language, s.words FROM of_shards AS s
            ) AS k
            WHERE pgknowbase_meets_conditions(k.words, k.language, k.source, k.id, _conditions)
            LIMIT most_objects
        ), chosen AS MATERIALIZED (
            SELECT e.id, e.content_type_id, e.tags, e.metadata, e.updated_at, e.created_at
            FROM worded AS w
            CROSS JOIN LATERAL (
                SELECT x.* FROM pgknowbase_externaldata AS x
                WHERE x.content_type_id = w.source AND x.object_key = w.id AND pgknowbase_matches_filter(x, filter) OFFSET 0
            ) AS e
            UNION ALL (
                SELECT e.id, e.content_type_id, e.tags, e.metadata, e.updated_at, e.created_at
                FROM pgknowbase_externaldata AS e WHERE query IS NULL AND pgknowbase_matches_filter(e, filter)
                LIMIT most_objects)
        ), asked AS MATERIALIZED (
            SELECT DISTINCT f.name, (regexp_match(f.name, '^metadata\.(.+?)(?::(?:day|month|year))?$'))[1] AS key,
                (regexp_match(f.name, ':(day|month|year)$'))[1] AS period
            FROM unnest(facets) AS f (name)
        ), valued AS (
            SELECT a.name, to_jsonb(t.tag) AS value
            FROM asked AS a CROSS JOIN chosen AS c CROSS JOIN LATERAL (SELECT DISTINCT u.tag FROM unnest(c.tags) AS u (tag)) AS t
            WHERE a.name = 'tags' AND c.tags <> '{}'
            UNION ALL
            SELECT a.name, to_jsonb(o.label)
            FROM asked AS a CROSS JOIN chosen AS c
            JOIN (SELECT t.id, t.app_label || '.' || t.model AS label FROM django_content_type AS t) AS o ON o.id = c.content_type_id
            WHERE a.name = 'model'
            UNION ALL
            SELECT a.name, to_jsonb(to_char(
                CASE WHEN a.name LIKE 'updated:%' THEN c.updated_at ELSE c.created_at END AT TIME ZONE zone,
                CASE a.period WHEN 'day' THEN 'YYYY-MM-DD' WHEN 'month' THEN 'YYYY-MM' ELSE 'YYYY' END))
            FROM asked AS a CROSS JOIN chosen AS c WHERE a.key IS NULL AND a.period IS NOT NULL
            UNION ALL
            SELECT v.name, CASE WHEN v.period IS NULL THEN v.value ELSE to_jsonb(
                left(v.value #>> '{}', CASE v.period WHEN 'day' THEN 10 WHEN 'month' THEN 7 ELSE 4 END)) END
            FROM (
                SELECT a.name, a.period, c.metadata -> a.key AS value
                FROM asked AS a JOIN chosen AS c ON c.metadata ? a.key
                WHERE jsonb_typeof(c.metadata -> a.key) <> 'array'
                UNION ALL
                SELECT a.name, a.period, l.value
                FROM asked AS a JOIN chosen AS c ON c.metadata ? a.key
                CROSS JOIN LATERAL (
                    SELECT DISTINCT j.value FROM jsonb_array_elements(
                        CASE jsonb_typeof(c.metadata -> a.key) WHEN 'array' THEN c.metadata -> a.key END) AS j
                ) AS l
                WHERE jsonb_typeof(c.metadata -> a.key) = 'array'
            ) AS v
            WHERE CASE
                WHEN v.period IS NOT NULL THEN v.value #>> '{}' ~ '^\d{4}-\d{2}-\d{2}' AND jsonb_typeof(v.value) = 'string'
                ELSE jsonb_typeof(v.value) IN ('string', 'number', 'boolean') AND length(v.value #>> '{}') <= 200 END
        ), counted AS (
            SELECT v.name, v.value, count(*) AS documents, count(*) OVER (PARTITION BY v.name) AS different
            FROM valued AS v GROUP BY v.name, v.value
        ), ranked AS (
            SELECT a.name, a.period, c.value, c.documents, c.different, row_number() OVER (
                PARTITION BY a.name ORDER BY CASE WHEN a.period IS NOT NULL THEN c.value END DESC, c.documents DESC, c.value) AS place
            FROM asked AS a JOIN counted AS c ON c.name = a.name
        ), listed AS (
            SELECT a.name, coalesce(max(r.different), 0) AS different, coalesce(jsonb_agg(
                jsonb_build_array(r.value, r.documents) ORDER BY CASE WHEN r.period IS NOT NULL THEN -r.place ELSE r.place END)
                FILTER (WHERE r.place <= most_values), '[]') AS values
            FROM asked AS a LEFT JOIN ranked AS r ON r.name = a.name GROUP BY a.name
        )
        SELECT jsonb_build_object(
            'documents', (SELECT count(*) FROM chosen),
            'is_complete', greatest(
                (SELECT count(*) FROM chosen), (SELECT count(*) FROM worded), (SELECT count(*) FROM of_shards),
                coalesce(cardinality(filter.external_data_ids), 0)) < most_objects,
            'facets', coalesce(
                jsonb_object_agg(l.name, jsonb_build_object('distinct', l.different, 'values', l.values)), '{}'))
        FROM listed AS l);
END
$pgknowbase$;
