-- The objects that share words with a search text, best first by BM25 (Robertson and Zaragoza 2009, with Lucene's idf):
-- how often each word of the text stands in the object, dampened by k1 and by the object's length (b), weighed by how
-- rare the word is among the documents of the sources. Each document is read in its own language.
--
-- In a corpus of more than most_candidates documents only so many are scored: those that are best by their postings
-- (pgknowbase_best_postings), and those that are new. Where of these fewer than
-- max_hits pass the filters, more are scored, and in the end all that pass, as long as documents times words of the text
-- stay below three million. Of a text of many common words the rarest are asked for (pgknowbase_rarest_words).
--
-- Of a text with phrases, exclusions and so on (pgknowbase_parse_query) only what satisfies them is found. How rare a word
-- is does not depend on them.
--
-- Where the viewer may not see all documents (visible_to, or private), no score tells what is in the others: how many
-- documents have a word, their languages and their average length are those of the scored documents that the viewer may
-- see, and the number of all documents is rounded to a power of two. Two things are known but roughly: of words that more than a
-- thousand documents of a source have, the share that pgknowbase_word_sample once saw of all; and, where only whoever reads
-- the hits knows what the viewer may see (private without keys), all numbers, as powers of two.
--
-- also: objects that pass the filters, whose scores are told as well, behind the max_hits best where they are not of these.
--
-- record_plan leaves what was done in the setting pgknowbase.keyword_plan of this
-- transaction, as JSON.
CREATE OR REPLACE FUNCTION pgknowbase_bm25(
    query text, max_hits integer, filter pgknowbase_filter DEFAULT NULL, exclude bigint DEFAULT NULL,
    most_candidates integer DEFAULT 10000, record_plan boolean DEFAULT false, k1 float8 DEFAULT 1.2,
    b float8 DEFAULT 0.75, also bigint[] DEFAULT NULL)
RETURNS TABLE (source integer, object_key text, external_data_id bigint, score float8)
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED SECURITY INVOKER ROWS 100
SET search_path FROM CURRENT
SET plan_cache_mode = 'auto' -- of the small statements; the large one has its own below
SET max_parallel_workers_per_gather = 0
SET work_mem = '32MB' -- a text of many words counts some hundred thousand pairs of word and document
SET enable_seqscan = 'on' -- its callers switch it off
SET jit = 'off'
AS $pgknowbase$
#variable_conflict use_variable
DECLARE
    _is_distributed CONSTANT boolean := to_regclass('pgknowbase_shard_keywords') IS NOT NULL;
    _of_shards pgknowbase_keywords[]; -- the words of what is scored, where they are distributed
    -- What filters leave out is not known. Where there are none, fewer documents have to be scored, and looked up.
    _filtered CONSTANT boolean := num_nonnulls(
        filter.visible_to, filter.metadata, filter.matching, filter.tags, filter.changed_from, filter.changed_before,
        filter.object_keys, filter.external_data_ids) > 0;
    _private CONSTANT boolean := filter.visible_to IS NOT NULL OR coalesce(filter.private, false);
    _seen CONSTANT pgknowbase_filter := CASE WHEN _private THEN pgknowbase_filter_v1(
        sources => filter.sources, visible_to => filter.visible_to,
        object_keys => CASE WHEN filter.private THEN filter.object_keys END,
        external_data_ids => CASE WHEN filter.private THEN filter.external_data_ids END) END;
    _rounded CONSTANT boolean := _private
        AND num_nonnulls(filter.visible_to, filter.object_keys, filter.external_data_ids) = 0;
    _read CONSTANT record := pgknowbase_read_query(query);
    _conditions CONSTANT jsonb := CASE WHEN NOT _read.is_plain THEN pgknowbase_query_conditions(query, filter.sources) END;
    _met tsquery; -- by all that satisfies them, and maybe more
    -- A pair of a word and a document that has it takes some microseconds.
    _most_pairs CONSTANT integer := 150000;
    _size float8;
    _expected float8; -- how many pass the filters, where it decides
    _looked_up bigint := CASE WHEN _filtered THEN 2147483647 ELSE 2::bigint * max_hits + 100 END;
    _documents float8;
    _length float8;
    _large boolean := false;
    _terms jsonb;
    _words tsquery;
    _wanted tsquery; -- all that have these words are scored; NULL: those that pgknowbase_best_postings tells
    _numbers bigint[];
    _others tsquery;
    _has_others boolean; -- else the index of words is not asked: what is not merged into it yet is read by each who asks
    _last bigint;
    _is_all boolean;
    _narrow boolean := num_nonnulls(filter.object_keys, filter.external_data_ids) > 0;
    _filtered_first boolean := false; -- whether objects are looked up, before they are scored
    _by_conditions boolean := false;
    _is_planned_once boolean;
    _candidates integer := most_candidates;
    _most_narrow bigint;
    -- Of a word with several spellings ts_rank adds up what these tell, but ts_rank_cd, which is slower, is the times.
    _steps CONSTANT float8[] := pgknowbase_rank_steps();
    _also bigint[];
    _also_numbers bigint[];
    _sources integer[];
    _keys text[];
    _ids bigint[];
    _scores float8[];
    _hits integer;
    _plan text := 'words_none';
    _scored bigint;
    _looked_at bigint; -- with those that do not satisfy the conditions
BEGIN
    SELECT sum(c.documents), sum(c.words) / nullif(sum(c.documents), 0) INTO _documents, _length
    FROM pgknowbase_corpus AS c WHERE filter.sources IS NULL OR c.source = ANY (filter.sources);
    SELECT jsonb_agg(w), string_agg(DISTINCT w.word, '|')::tsquery INTO _terms, _words
    FROM pgknowbase_tokenize_query(_read.words, filter.sources) AS w;
    IF _read.prefixes IS NOT NULL THEN
        SELECT nullif(coalesce(_terms, '[]') || coalesce(jsonb_agg(w), '[]'), '[]'),
            nullif(concat_ws('|', _words::text, string_agg(DISTINCT w.word, '|')), '')::tsquery
        INTO _terms, _words
        FROM pgknowbase_tokenize_prefixes(_read.prefixes, filter.sources) AS w;
    END IF;
    IF filter.synonyms IS NOT NULL AND _terms IS NOT NULL THEN
        _terms := pgknowbase_add_synonyms(_terms, _read.words, filter.synonyms);
        SELECT string_agg(DISTINCT r.word, '|')::tsquery INTO _words FROM jsonb_to_recordset(_terms) AS r (word text);
    END IF;
    IF max_hits <= 0 OR coalesce(_length, 0) <= 0 OR _terms IS NULL THEN
        IF record_plan THEN
            PERFORM set_config('pgknowbase.keyword_plan', jsonb_build_object(
                'plan', _plan, 'documents', coalesce(_documents, 0), 'candidates', 0, 'words', '',
                'most_candidates', most_candidates)::text, true);
        END IF;
        RETURN;
    END IF;
    _size := _documents;
    IF _private THEN
        _documents := 2 ^ ceil(log(2, _size::numeric));
    END IF;
    IF _size > most_candidates THEN
        -- To look up an object takes a quarter of the time that scoring it takes. Whoever may not see all has them looked up anyway.
        _filtered_first := _filtered AND (max_hits >= 100 OR NOT _private);
        IF _filtered AND NOT (_private OR _narrow) THEN
            _expected := greatest(pgknowbase_estimate_matching(filter), 1);
        END IF;
        -- For who may not see everything the scores depend on what was scored: they should be the same on the first pages.
        _candidates := least(most_candidates, CASE
            WHEN _private THEN greatest(3000, 2::bigint * max_hits)
            WHEN _filtered THEN 300 + 1.3 * max_hits * _size / _expected
            ELSE 60 + 1.2 * max_hits END);
        _terms := pgknowbase_rarest_words(
            pgknowbase_word_frequencies(_terms, filter.sources, most_candidates + 1, _seen),
            most_candidates, _most_pairs);
        SELECT string_agg(DISTINCT r.word, '|')::tsquery INTO _words FROM jsonb_to_recordset(_terms) AS r (word text);
        _large := least(most_candidates, greatest(_candidates, 200)) < (
            SELECT sum(t.documents) FROM (
                SELECT DISTINCT r.token, r.documents
                FROM jsonb_to_recordset(_terms) AS r (token bigint, documents float8)) AS t);
    END IF;
    -- Planning takes 3 ms. What is filtered needs it, and a plan for a small corpus would not do when it has grown.
    _is_planned_once := _size > most_candidates AND NOT (_filtered OR _private OR _narrow) AND _conditions IS NULL;
    PERFORM set_config( -- until this returns, as all that is set here
        'plan_cache_mode', CASE WHEN _is_planned_once THEN 'force_generic_plan' ELSE 'force_custom_plan' END, true);
    IF _is_planned_once OR _large THEN
        PERFORM set_config('enable_seqscan', 'off', true);
    END IF;
    _plan := CASE WHEN _large THEN 'words_best' ELSE 'words_all' END;
    IF NOT _large THEN
        _wanted := _words;
    ELSE
        _met := _conditions ->> 'any';
        -- What few documents satisfy finds them faster than the words do.
        _by_conditions := _met IS NOT NULL AND most_candidates / 4 >= (
            SELECT count(*) FROM (
                SELECT FROM pgknowbase_keywords AS w WHERE NOT _is_distributed AND w.words @@ (_words && _met)
                UNION ALL
                SELECT FROM pgknowbase_read_shard_keywords(
                    wanted => _words && _met, at_most => most_candidates / 4 + 1, with_words => false)
                WHERE _is_distributed
                LIMIT most_candidates / 4 + 1) AS m);
        IF _by_conditions THEN
            _wanted := _words && _met;
        END IF;
    END IF;
    _most_narrow := greatest(most_candidates, least(10::bigint * most_candidates, 3000000 / (
        SELECT count(DISTINCT r.token) FROM jsonb_to_recordset(_terms) AS r (token bigint))));
    _narrow := _narrow AND _size > most_candidates;
    -- Where few pass, scoring all of them takes less than looking so many of the best by their words up.
    IF _large AND NOT _narrow AND _conditions IS NULL AND _expected IS NOT NULL
        AND _expected < least(_most_narrow, greatest(1.3 * max_hits * _size / most_candidates, sqrt(max_hits * _size)))
        AND 2 * _expected + 1000 > (
            SELECT count(*) FROM (
                SELECT FROM pgknowbase_externaldata AS x WHERE pgknowbase_matches_filter(x, filter)
                LIMIT 2 * _expected + 1000) AS passing)
    THEN
        _narrow := true;
    END IF;
    IF also IS NOT NULL THEN
        SELECT array_agg(e.id), array_agg(k.number) INTO _also, _also_numbers
        FROM unnest(also) AS a (id)
        JOIN pgknowbase_externaldata AS e ON e.id = a.id
        JOIN pgknowbase_keywords AS k ON k.source = e.content_type_id AND k.id = e.object_key
        WHERE k.number IS NOT NULL;
    END IF;
    LOOP
        IF _wanted IS NULL AND NOT _narrow THEN
            SELECT b.numbers, b.others, b.last, b.is_all INTO _numbers, _others, _last, _is_all
            FROM pgknowbase_best_postings(
                _terms, _documents, filter.sources, _candidates,
                CASE WHEN NOT (_filtered OR _private) AND _conditions IS NULL AND exclude IS NULL THEN max_hits END) AS b;
            _has_others := _others <> '''^'''::tsquery;
            IF NOT _private THEN -- else what is scored, and with it all scores, would depend on them
                _numbers := _numbers || _also_numbers;
            END IF;
        END IF;
        IF _is_distributed THEN
            _of_shards := CASE
                WHEN _narrow THEN ARRAY(
                    SELECT s FROM pgknowbase_read_shard_keywords(
                        wanted => _words, sources => filter.sources, at_most => _most_narrow, ids => (
                            SELECT CASE WHEN count(*) <= 10 * most_candidates THEN coalesce(array_agg(e.object_key), '{}') END
                            FROM (
                                SELECT x.object_key FROM pgknowbase_externaldata AS x WHERE pgknowbase_matches_filter(x, filter)
                                LIMIT 10::bigint * most_candidates + 1
                            ) AS e)) AS s)
                WHEN _wanted IS NOT NULL THEN ARRAY(
                    SELECT s FROM pgknowbase_read_shard_keywords(
                        wanted => _wanted, sources => filter.sources,
                        at_most => CASE WHEN _by_conditions THEN _most_narrow ELSE most_candidates END) AS s)
                ELSE ARRAY(
                    SELECT s FROM pgknowbase_read_shard_keywords(
                        wanted => _others, numbers => _numbers, last => _last, later => _words, met => _met,
                        sources => filter.sources, at_most => most_candidates + coalesce(cardinality(_numbers), 0)) AS s)
                END;
        END IF;
        WITH term AS MATERIALIZED (
            SELECT dense_rank() OVER (ORDER BY t.token)::integer AS token, t.language, t.times, t.stopped, t.documents,
                t.word::tsquery AS word,
                CASE WHEN t.word LIKE '''%''' THEN substr(t.word, 2, length(t.word) - 2) END AS lexeme
            FROM jsonb_to_recordset(_terms) AS t (
                token bigint, language text, word text, times bigint, stopped float8, documents float8)
        ), counted AS MATERIALIZED (
            SELECT k.place, k.source, k.id, k.language, k.length, n.token, n.times
            FROM (
                -- Each word of the text reads the words of the document: what is stored apart or compressed is read once.
                -- What does not satisfy the conditions has its place below 0.
                SELECT c.number * CASE
                        WHEN _conditions IS NULL -- then the rest need not be planned
                            OR pgknowbase_meets_conditions(c.words, c.language, c.source, c.id, _conditions)
                        THEN 1 ELSE -1 END AS place,
                    c.source, c.id, c.language, c.length, c.frequent, CASE
                        WHEN pg_column_compression(c.words) IS NULL AND pg_column_size(c.words) < 2000 THEN c.words
                        ELSE c.words || ''::tsvector END AS words
                FROM (
                    SELECT w.number, w.source, w.id, w.language, w.length, w.words, w.frequent
                    FROM pgknowbase_keywords AS w
                    WHERE NOT _is_distributed AND _wanted IS NOT NULL AND NOT _narrow AND w.words @@ _wanted AND (filter.sources IS NULL OR w.source = ANY (filter.sources))
                    UNION ALL
                    SELECT w.number, w.source, w.id, w.language, w.length, w.words, w.frequent
                    FROM pgknowbase_keywords AS w
                    WHERE NOT _is_distributed AND _wanted IS NULL AND NOT _narrow AND NOT _has_others AND w.number = ANY (_numbers)
                        AND w.number <= _last AND (_met IS NULL OR w.words @@ _met)
                        AND (filter.sources IS NULL OR w.source = ANY (filter.sources))
                    UNION ALL
                    SELECT w.number, w.source, w.id, w.language, w.length, w.words, w.frequent
                    FROM pgknowbase_keywords AS w
                    WHERE NOT _is_distributed AND _wanted IS NULL AND NOT _narrow AND _has_others AND (w.number = ANY (_numbers) OR w.words @@ _others)
                        AND w.number <= _last AND (_met IS NULL OR w.words @@ _met)
                        AND (filter.sources IS NULL OR w.source = ANY (filter.sources))
                    UNION ALL
                    SELECT w.number, w.source, w.id, w.language, w.length, w.words, w.frequent
                    FROM (SELECT k.* FROM pgknowbase_keywords AS k WHERE k.number > _last OFFSET 0) AS w
                    WHERE NOT _is_distributed AND _wanted IS NULL AND NOT _narrow AND w.words @@ _words AND (_met IS NULL OR w.words @@ _met)
                        AND (filter.sources IS NULL OR w.source = ANY (filter.sources))
                    UNION ALL
                    SELECT w.number, w.source, w.id, w.language, w.length, w.words, w.frequent
                    FROM pgknowbase_externaldata AS e
                    CROSS JOIN LATERAL (
                        SELECT k.* FROM pgknowbase_keywords AS k
                        WHERE k.source = e.content_type_id AND k.id = e.object_key OFFSET 0
                    ) AS w
                    WHERE NOT _is_distributed AND _narrow AND w.words @@ _words AND pgknowbase_matches_filter(e, filter)
                    UNION ALL
                    SELECT w.number, w.source, w.id, w.language, w.length, w.words, w.frequent FROM unnest(_of_shards) AS w
                    LIMIT CASE WHEN _narrow OR _by_conditions THEN _most_narrow
                        ELSE most_candidates + coalesce(cardinality(_numbers), 0) END
                ) AS c
                WHERE (NOT _private OR EXISTS (
                    SELECT 1 FROM pgknowbase_externaldata AS e
                    WHERE e.content_type_id = c.source AND e.object_key = c.id AND pgknowbase_matches_filter(e, _seen)))
                    AND (NOT _filtered_first OR _narrow OR EXISTS (
                    SELECT 1 FROM pgknowbase_externaldata AS e
                    WHERE e.content_type_id = c.source AND e.object_key = c.id AND pgknowbase_matches_filter(e, filter) OFFSET 0))
                OFFSET 0
            ) AS k
            -- Document by document: a plan that is kept knows neither number, and the other way round it copies all words.
            CROSS JOIN LATERAL (
                SELECT t.token, CASE
                    WHEN t.lexeme IS NULL THEN round(ts_rank_cd('{1, 1, 1, 1}', k.words, t.word))::integer
                    ELSE coalesce(
                        (k.frequent ->> t.lexeme)::integer,
                        width_bucket(ts_rank('{1, 1, 1, 1}', k.words, t.word) * 1.64493406685, _steps))
                    END AS times
                FROM term AS t WHERE t.language = k.language AND k.words @@ t.word
                OFFSET 0
            ) AS n
        ), known AS MATERIALIZED (
            -- What the viewer may know of the corpus; of no rows where that is everything.
            SELECT c.language, count(*)::float8 AS documents, sum(c.length)::float8 AS words
            FROM (SELECT DISTINCT o.place, o.language, o.length FROM counted AS o WHERE _private) AS c
            GROUP BY c.language
        ), average AS MATERIALIZED (
            SELECT coalesce(sum(n.words) / nullif(sum(n.documents), 0), _length) AS length FROM known AS n
        ), weighed AS MATERIALIZED (
            SELECT array_agg(
                t.times * ln(1 + (_documents - f.documents + 0.5) / (f.documents + 0.5)) ORDER BY t.token) AS weights
            FROM (
                SELECT t.token, max(t.times) AS times, max(t.stopped) AS stopped, max(t.documents) AS documents
                FROM term AS t GROUP BY t.token
            ) AS t
            LEFT JOIN (SELECT c.token, count(*) AS documents FROM counted AS c GROUP BY c.token) AS d ON d.token = t.token
            CROSS JOIN LATERAL (
                SELECT least(_documents, CASE
                    WHEN _rounded THEN 2 ^ floor(log(2, greatest(coalesce(t.documents, d.documents), 1)::numeric))
                    ELSE coalesce(t.documents, d.documents) END
                    + CASE WHEN NOT _private THEN t.stopped ELSE _documents * coalesce((
                        SELECT sum(n.documents) FILTER (WHERE NOT EXISTS (
                            SELECT 1 FROM term AS o WHERE o.token = t.token AND o.language = n.language))
                            / sum(n.documents)
                        FROM known AS n), 0) END) AS documents
            ) AS f
        ), scored AS MATERIALIZED (
            -- The place says all; what is equal in it is compared quickly. Whole numbers, of 2^-32, add up to the same in
            -- any order: rows of equal words score alike whatever the plan, and no last digit tells of other rows.
            SELECT c.place, c.source, c.id,
                sum(round(w.weights[c.token] * c.times * (k1 + 1) / (c.times + k1 * (1 - b + b * c.length / a.length))
                    * 4294967296)) / 4294967296 AS score
            FROM counted AS c CROSS JOIN weighed AS w CROSS JOIN average AS a
            WHERE _conditions IS NULL OR c.place > 0
            GROUP BY c.place, c.source, c.id
        ), best AS (
            SELECT s.source, s.id, s.score FROM scored AS s ORDER BY s.score DESC FETCH FIRST (_looked_up) ROWS WITH TIES
        ), passing AS (
            SELECT s.source, s.id, e.id AS external_data_id, s.score
            FROM best AS s
            CROSS JOIN LATERAL (
                SELECT x.id FROM pgknowbase_externaldata AS x
                WHERE x.content_type_id = s.source AND x.object_key = s.id AND pgknowbase_matches_filter(x, filter)
                OFFSET 0
            ) AS e
            WHERE e.id IS DISTINCT FROM exclude
            ORDER BY s.score DESC, e.id
            LIMIT max_hits
        )
        SELECT array_agg(p.source), array_agg(p.id), array_agg(p.external_data_id), array_agg(p.score),
            (SELECT count(*) FROM passing), (SELECT count(*) FROM scored), CASE
            WHEN _conditions IS NOT NULL THEN (SELECT count(DISTINCT c.place) FROM counted AS c) END
        INTO _sources, _keys, _ids, _scores, _hits, _scored, _looked_at
        FROM (
            SELECT h.* FROM passing AS h
            UNION ALL
            SELECT s.source, s.id, a.id, s.score
            FROM unnest(_also, _also_numbers) AS a (id, number) JOIN scored AS s ON s.place = a.number
            WHERE NOT EXISTS (SELECT FROM passing AS h WHERE h.external_data_id = a.id)
        ) AS p;
        EXIT WHEN _hits >= max_hits;
        IF _scored > _looked_up THEN
            _looked_up := 2147483647;
        ELSE
            -- Of objects that were looked up first, not all that were found are scored.
            EXIT WHEN NOT _large OR _narrow OR _by_conditions
                OR _is_all AND NOT _filtered_first AND coalesce(_looked_at, _scored) < most_candidates;
            IF _candidates < most_candidates THEN
                -- As many as the share that passed says, and some more.
                _candidates := least(most_candidates, greatest(
                    2::bigint * _candidates, 1.5 * _candidates * max_hits / greatest(_hits, 1)));
            ELSIF _met IS NOT NULL THEN
                _by_conditions := true;
                _wanted := _words && _met;
                _plan := 'words_retried';
            ELSE
                _narrow := true;
                _plan := 'words_retried';
                PERFORM set_config('plan_cache_mode', 'force_custom_plan', true);
            END IF;
        END IF;
    END LOOP;
    IF record_plan THEN
        PERFORM set_config('pgknowbase.keyword_plan', jsonb_build_object(
            'plan', CASE WHEN _narrow AND _plan <> 'words_retried' THEN 'words_narrow' ELSE _plan END,
            'documents', _documents, 'candidates', _scored, 'most_candidates', _candidates,
            'words', CASE WHEN _narrow THEN _words ELSE coalesce(_wanted, _words) END::text)::text, true);
    END IF;
    RETURN QUERY
    SELECT p.source, p.id, p.external_data_id, p.score
    FROM unnest(_sources, _keys, _ids, _scores) AS p (source, id, external_data_id, score)
    ORDER BY p.score DESC, p.external_data_id;
END
$pgknowbase$;
