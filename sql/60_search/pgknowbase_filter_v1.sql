-- The filter of a search, from what is to be filtered by: the other fields are NULL and filter nothing. See the type
-- pgknowbase_filter. Inlined where it is called: hence no SET. Its names are resolved when it is created.
--
--   SELECT object_key, score FROM pgknowbase_search_keyword_v1(
--       'gzip', 10, pgknowbase_filter_v1(tags => ARRAY['howto'], visible_to => ''));
CREATE OR REPLACE FUNCTION pgknowbase_filter_v1(
    sources integer[] DEFAULT NULL, threshold float8 DEFAULT NULL, visible_to text DEFAULT NULL,
    metadata jsonb DEFAULT NULL, matching jsonpath DEFAULT NULL, tags text[] DEFAULT NULL,
    changed_from timestamptz DEFAULT NULL, changed_before timestamptz DEFAULT NULL, object_keys text[] DEFAULT NULL,
    external_data_ids bigint[] DEFAULT NULL, private boolean DEFAULT NULL,
    synonyms jsonb DEFAULT NULL) RETURNS pgknowbase_filter
LANGUAGE sql IMMUTABLE PARALLEL SAFE SECURITY INVOKER
RETURN ROW(
    sources, threshold, visible_to, metadata, matching, tags, changed_from, changed_before, object_keys,
    external_data_ids, private, NULL, synonyms)::pgknowbase_filter;
