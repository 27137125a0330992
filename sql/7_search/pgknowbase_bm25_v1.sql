-- The objects that share words with a search text, best first by BM25 (Robertson and Zaragoza 2009, with Lucene's idf):
-- how often each word of the text stands in the object, dampened by k1 and by the object's length (b), weighed by how
-- rare the word is among the documents of the sources. Each document is read in its own language.
--
-- In a corpus of more than most_candidates documents only so many are scored: those that have a rare word of the text, or
-- a common one often, or both (pgknowbase_word_candidates_v1). Where of these fewer than max_hits pass the filters, more
-- are scored, and in the end all that pass. note_plan leaves what was done in the setting pgknowbase.keyword_plan of this
-- transaction, as JSON.
CREATE OR REPLACE FUNCTION pgknowbase_bm25_v1(
    query text, max_hits integer, sources integer[] DEFAULT NULL, viewer text DEFAULT NULL,
    metadata jsonb DEFAULT NULL, matching jsonpath DEFAULT NULL, tags text[] DEFAULT NULL,
    changed_from timestamptz DEFAULT NULL, changed_before timestamptz DEFAULT NULL, object_keys text[] DEFAULT NULL,
    external_data_ids bigint[] DEFAULT NULL, exclude bigint DEFAULT NULL, k1 float8 DEFAULT 1.2,
    b float8 DEFAULT 0.75, most_candidates integer DEFAULT 10000, note_plan boolean DEFAULT false)
RETURNS TABLE (source integer, object_key text, external_data_id bigint, score float8)
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED SECURITY INVOKER ROWS 100
SET search_path FROM CURRENT
SET plan_cache_mode = 'force_custom_plan'
SET max_parallel_workers_per_gather = 0
SET jit = 'off'
AS $pgknowbase$
#variable_conflict use_variable
DECLARE
    -- What filters leave out is not known. Where there are none, fewer documents have to be scored, and looked up.
    _filtered CONSTANT boolean := num_nonnulls(
        viewer, metadata, matching, tags, changed_from, changed_before, object_keys, external_data_ids) > 0;
    _looked_up bigint := CASE WHEN _filtered THEN 2147483647 ELSE 2::bigint * max_hits + 100 END;
    _documents float8;
    _length float8;
    _large boolean := false;
    _terms jsonb;
    _words tsquery;
    _wanted tsquery;
    _narrow boolean;
    _candidates integer := most_candidates;
    _steps float8[];
    _found jsonb;
    _plan text := 'words_none';
    _scored bigint;
BEGIN
    SELECT sum(c.documents), sum(c.words) / nullif(sum(c.documents), 0) INTO _documents, _length
    FROM pgknowbase_corpus AS c WHERE sources IS NULL OR c.source = ANY (sources);
    SELECT jsonb_agg(w), string_agg(DISTINCT w.word, '|')::tsquery INTO _terms, _words
    FROM pgknowbase_query_words_v1(query, sources) AS w;
    IF max_hits <= 0 OR coalesce(_length, 0) <= 0 OR _terms IS NULL THEN
        IF note_plan THEN
            PERFORM set_config('pgknowbase.keyword_plan', jsonb_build_object(
                'plan', _plan, 'documents', coalesce(_documents, 0), 'candidates', 0, 'words', '',
                'most_candidates', most_candidates)::text, true);
        END IF;
        RETURN;
    END IF;
    IF _documents > most_candidates THEN
        IF NOT _filtered THEN
            _candidates := least(most_candidates, greatest(3000, 6::bigint * max_hits));
        END IF;
        _terms := pgknowbase_word_frequencies_v1(_terms, sources, most_candidates);
        _large := _candidates < (
            SELECT sum(t.documents) FROM (
                SELECT DISTINCT r.token, r.levels[1] AS documents
                FROM jsonb_to_recordset(_terms) AS r (token bigint, levels float8[])) AS t);
    END IF;
    _wanted := CASE WHEN _large THEN pgknowbase_word_candidates_v1(_terms, _documents, _candidates, k1) ELSE _words END;
    _plan := CASE WHEN _large THEN 'words_rare' ELSE 'words_all' END;
    _narrow := _documents > most_candidates AND (object_keys IS NOT NULL OR external_data_ids IS NOT NULL);
    -- ts_rank of one word is the sum of 1/n^2 up to the times that it stands there, over pi^2/6: it tells the times.
    SELECT array_agg(s.sum - 0.5 / (s.n * s.n)) INTO _steps
    FROM (SELECT n, sum(1.0 / (n * n)) OVER (ORDER BY n) AS sum FROM generate_series(1, 200) AS n) AS s;
    LOOP
        WITH term AS MATERIALIZED (
            SELECT t.token, t.language, t.times, t.stopped, t.levels[1] AS documents, t.word::tsquery AS word
            FROM jsonb_to_recordset(_terms) AS t (
                token bigint, language text, word text, times bigint, stopped float8, levels float8[])
        ), counted AS MATERIALIZED (
            SELECT k.place, k.source, k.id, k.length, t.token,
                width_bucket(ts_rank('{1, 1, 1, 1}', k.words, t.word) * 1.64493406685, _steps) AS times
            FROM (
                SELECT row_number() OVER () AS place, c.*
                FROM (
                    SELECT w.source, w.id, w.language, w.length, w.words
                    FROM pgknowbase_keywords AS w
                    WHERE NOT _narrow AND w.words @@ _wanted AND (sources IS NULL OR w.source = ANY (sources))
                    UNION ALL
                    SELECT w.source, w.id, w.language, w.length, w.words
                    FROM pgknowbase_externaldata AS e
                    JOIN pgknowbase_keywords AS w ON w.source = e.content_type_id AND w.id = e.object_key
                    WHERE _narrow AND w.words @@ _words
                        AND (object_keys IS NULL OR e.object_key = ANY (object_keys))
                        AND (external_data_ids IS NULL OR e.id = ANY (external_data_ids))
                        AND pgknowbase_passes_v1(
                            e, sources, viewer, metadata, matching, tags, changed_from, changed_before)
                    LIMIT CASE WHEN _narrow THEN 10 * most_candidates ELSE most_candidates END
                ) AS c
            ) AS k
            JOIN term AS t ON t.language = k.language
            WHERE k.words @@ t.word
        ), weighed AS (
            SELECT t.token, t.times * ln(1 + (_documents - f.documents + 0.5) / (f.documents + 0.5)) AS weight
            FROM (
                SELECT t.token, max(t.times) AS times, max(t.stopped) AS stopped, max(t.documents) AS documents
                FROM term AS t GROUP BY t.token
            ) AS t
            JOIN (SELECT c.token, count(*) AS documents FROM counted AS c GROUP BY c.token) AS d ON d.token = t.token
            CROSS JOIN LATERAL (
                SELECT least(coalesce(t.documents, d.documents) + t.stopped, _documents) AS documents
            ) AS f
        ), scored AS MATERIALIZED (
            -- The place says all; what is equal in it is compared quickly.
            SELECT c.place, c.source, c.id,
                sum(w.weight * c.times * (k1 + 1) / (c.times + k1 * (1 - b + b * c.length / _length))) AS score
            FROM counted AS c JOIN weighed AS w ON w.token = c.token
            GROUP BY c.place, c.source, c.id
        ), best AS (
            SELECT s.source, s.id, s.score FROM scored AS s ORDER BY s.score DESC FETCH FIRST (_looked_up) ROWS WITH TIES
        ), passing AS (
            SELECT s.source, s.id, e.id AS external_data_id, s.score
            FROM best AS s JOIN pgknowbase_externaldata AS e ON e.content_type_id = s.source AND e.object_key = s.id
            WHERE pgknowbase_passes_v1(e, sources, viewer, metadata, matching, tags, changed_from, changed_before)
                AND (object_keys IS NULL OR e.object_key = ANY (object_keys))
                AND (external_data_ids IS NULL OR e.id = ANY (external_data_ids))
                AND e.id IS DISTINCT FROM exclude
            ORDER BY s.score DESC, e.id
            LIMIT max_hits
        )
        SELECT jsonb_agg(p), (SELECT count(*) FROM scored) INTO _found, _scored FROM passing AS p;
        EXIT WHEN jsonb_array_length(_found) >= max_hits;
        IF _scored > _looked_up THEN
            _looked_up := 2147483647;
        ELSE
            EXIT WHEN NOT _large OR _narrow;
            IF _candidates < most_candidates THEN
                _candidates := most_candidates;
                _wanted := pgknowbase_word_candidates_v1(_terms, _documents, _candidates, k1);
            ELSE
                _narrow := true;
                _plan := 'words_retried';
            END IF;
        END IF;
    END LOOP;
    IF note_plan THEN
        PERFORM set_config('pgknowbase.keyword_plan', jsonb_build_object(
            'plan', CASE WHEN _narrow AND _plan <> 'words_retried' THEN 'words_narrow' ELSE _plan END,
            'documents', _documents, 'candidates', _scored, 'most_candidates', _candidates,
            'words', CASE WHEN _narrow THEN _words ELSE _wanted END::text)::text, true);
    END IF;
    RETURN QUERY
    SELECT p.source, p.id, p.external_data_id, p.score
    FROM jsonb_to_recordset(_found) AS p (source integer, id text, external_data_id bigint, score float8)
    ORDER BY p.score DESC, p.external_data_id;
END
$pgknowbase$;
