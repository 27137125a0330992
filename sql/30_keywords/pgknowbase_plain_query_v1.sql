-- The words of a search text that are looked for, without the signs of its form and without what it excludes: what an
-- embedding model is given.
--
--   SELECT pgknowbase_plain_query_v1('gears OR chains -"bottom bracket"');   --   gears chains
-- requires: pgknowbase_parse_query
CREATE OR REPLACE FUNCTION pgknowbase_plain_query_v1(query text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE SECURITY INVOKER SET search_path FROM CURRENT
AS $pgknowbase$
    SELECT CASE WHEN count(*) = 0 THEN query
        ELSE coalesce(string_agg(p.content, ' ' ORDER BY p.place) FILTER (WHERE NOT p.excluded), '') END
    FROM pgknowbase_parse_query(query) WITH ORDINALITY AS p (
        clause, content, required, excluded, in_title, is_prefix, is_phrase, place)
$pgknowbase$;
