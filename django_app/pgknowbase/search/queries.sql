-- Statements that Python runs; core/queries.sql says how they are written.

-- 'serves' is computed before the search and in the same statement: a search in a space that is no longer the active
-- one gives its row alone. OFFSET 0 keeps the condition from being evaluated after the search.
-- 'filter' is a pgknowbase_filter as JSON: one parameter in the place of ten.

-- active_space --
SELECT s.id, s.backend, s.model, s.dimensions, s.embedding, s.name FROM pgknowbase_space AS s WHERE s.is_active

-- rerank_rules --
SELECT s.rerank FROM pgknowbase_space AS s WHERE s.is_active

-- search_dense --
SELECT s.serves, h.*
FROM pgknowbase_space_serves_v1(%(space)s) AS s (serves)
LEFT JOIN LATERAL (
    SELECT * FROM pgknowbase_search_dense_v1(
        %(vector)s::halfvec, %(limit)s, jsonb_populate_record(NULL::pgknowbase_filter, %(filter)s::jsonb), skip => %(skip)s,
        exact_search_max_chunks => %(exact_search_max_chunks)s, space_model => %(space_model)s,
        record_plan => %(record_plan)s)
    WHERE s.serves OFFSET 0
) AS h ON true

-- search_hybrid --
SELECT s.serves, h.*
FROM pgknowbase_space_serves_v1(%(space)s) AS s (serves)
LEFT JOIN LATERAL (
    SELECT * FROM pgknowbase_search_hybrid_v1(
        %(text)s, %(vector)s::halfvec, %(limit)s, jsonb_populate_record(NULL::pgknowbase_filter, %(filter)s::jsonb), skip => %(skip)s,
        dense_weight => coalesce(
            %(dense_weight)s, (SELECT e.dense_weight FROM pgknowbase_space AS e WHERE e.id = %(space)s), %(model_weight)s),
        exact_search_max_chunks => %(exact_search_max_chunks)s,
        space_model => %(space_model)s, record_plan => %(record_plan)s)
    WHERE s.serves OFFSET 0
) AS h ON true

-- snippets --
SELECT * FROM pgknowbase_snippets_v1(
    %(text)s, %(ids)s::bigint[], %(chunk_seqs)s::int[], %(length)s, %(synonyms)s::jsonb)

-- plain_query --
SELECT pgknowbase_plain_query_v1(%(text)s)

-- search_keyword --
SELECT *
FROM pgknowbase_search_keyword_v1(
    %(text)s, %(limit)s, jsonb_populate_record(NULL::pgknowbase_filter, %(filter)s::jsonb), skip => %(skip)s,
    record_plan => %(record_plan)s)

-- search_similar --
SELECT *
FROM pgknowbase_similar_v1(
    %(sources)s::int[], %(keys)s::text[], %(limit)s, jsonb_populate_record(NULL::pgknowbase_filter, %(filter)s::jsonb),
    skip => %(skip)s, exact_search_max_chunks => %(exact_search_max_chunks)s, record_plan => %(record_plan)s)

-- hits_with_rows --
-- The one query that is composed: {search} is one of the four above, {row} a SELECT without parameters, compiled by
-- Django, that gives the row of a hit h, its key first. Of a hit whose row is gone the columns of r are null. The order is
-- that of the four, so that pages follow each other.
SELECT h.*, r.*
FROM (
    {search}
) AS h
LEFT JOIN LATERAL ({row} OFFSET 0) AS r (pgknowbase_key) ON true
ORDER BY h.score DESC, h.external_data_id

-- correct --
SELECT * FROM pgknowbase_correct_v1(%(text)s, jsonb_populate_record(NULL::pgknowbase_filter, %(filter)s::jsonb))

-- correct_among --
-- The same where {rows} gives the ids of the objects that the viewer may see: a SELECT that Django compiles, whose parameters come first.
WITH among (id) AS ({rows})
SELECT ARRAY[c.corrected, c.did_you_mean]
FROM (SELECT 1) AS one
LEFT JOIN pgknowbase_correct_v1(
    %(text)s, jsonb_populate_record(
        NULL::pgknowbase_filter,
        %(filter)s::jsonb || jsonb_build_object('private', true, 'external_data_ids', ARRAY(SELECT a.id FROM among AS a)))
) AS c ON (SELECT count(*) FROM among) <= %(most_visible)s

-- order --
SELECT * FROM pgknowbase_order_v1(%(ids)s::bigint[], %(order_by)s)

-- facets --
SELECT pgknowbase_facets_v1(
    %(facets)s::text[], %(text)s, jsonb_populate_record(NULL::pgknowbase_filter, %(filter)s::jsonb), %(most_values)s,
    %(most_objects)s, %(zone)s)

-- facets_among --
-- The same of the objects that {rows} gives: a SELECT of their ids, compiled by Django, whose parameters come first.
WITH among (id) AS ({rows})
SELECT pgknowbase_facets_v1(
    %(facets)s::text[], %(text)s, jsonb_populate_record(
        NULL::pgknowbase_filter,
        %(filter)s::jsonb || jsonb_build_object('external_data_ids', ARRAY(SELECT a.id FROM among AS a))),
    %(most_values)s, %(most_objects)s, %(zone)s)

-- answer_partially --
-- Until the end of the transaction: searches answer from the servers of the cluster that are there, and do not ask these.
SELECT set_config('pgknowbase.missing_servers', %(servers)s::text[]::text, true)

-- is_partial --
SELECT pgknowbase_is_partial_v1()

-- missing_servers --
SELECT current_setting('pgknowbase.missing_servers')::text[]

-- search_pending --
SELECT * FROM pgknowbase_search_pending_v1(
    %(text)s, %(rendered)s::jsonb, %(max_pending)s, %(ruled)s::int[],
    jsonb_populate_record(NULL::pgknowbase_filter, %(filter)s::jsonb))

-- pending_events --
SELECT * FROM pgknowbase_pending_events_v1(%(labels)s::text[], %(max_events)s)

-- pending_hits --
-- Which of these objects wait for the vectorizer or for their keywords.
SELECT e.id
FROM pgknowbase_externaldata AS e
LEFT JOIN pgknowbase_keywords AS k ON k.source = e.content_type_id AND k.id = e.object_key
WHERE e.id = ANY (%(ids)s) AND (e.status IN ('pending', 'processing') OR k.stale)

-- dense_plan --
SELECT current_setting('pgknowbase.search_plan', true)

-- keyword_plan --
SELECT current_setting('pgknowbase.keyword_plan', true)

-- hybrid_plan --
SELECT current_setting('pgknowbase.hybrid_plan', true)

-- has_chunks --
-- Without a join, which a distributed store could not make.
SELECT EXISTS (
    SELECT 1 FROM pgknowbase_chunk AS c
    WHERE c.source = ANY (%(sources)s::int[]) AND c.id = ANY (%(keys)s::text[])
        AND c.source || ':' || c.id = ANY (ARRAY(SELECT o.source || ':' || o.id FROM unnest(%(sources)s::int[], %(keys)s::text[]) AS o (source, id))))

-- object_matches_filter --
SELECT pgknowbase_matches_filter(e, jsonb_populate_record(NULL::pgknowbase_filter, %(filter)s::jsonb))
FROM pgknowbase_externaldata AS e WHERE e.id = %(external_data)s

-- nothing_found --
SELECT passing, existing, indexed, waiting, changes, workers FROM pgknowbase_nothing_found_v1(
    jsonb_populate_record(NULL::pgknowbase_filter, %(filter)s::jsonb),
    jsonb_populate_record(NULL::pgknowbase_filter, %(unrestricted)s::jsonb), %(sources)s::int[], %(at_most)s,
    %(heartbeat_timeout)s)
