-- What a search text looks for: its words, and the words that others begin with. is_plain: it is just words, as most are, and
-- excludes and requires nothing (pgknowbase_parse_query).
CREATE OR REPLACE FUNCTION pgknowbase_read_query(
    query text, OUT words text, OUT prefixes text[], OUT is_plain boolean) RETURNS record
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SECURITY INVOKER SET search_path FROM CURRENT
AS $pgknowbase$
BEGIN
    is_plain := query !~ '["“”„‟*-]|OR|title:'; -- no sign that pgknowbase_parse_query looks for
    IF NOT is_plain THEN
        SELECT count(*) = 0, coalesce(string_agg(p.content, ' ' ORDER BY p.place) FILTER (WHERE NOT (p.excluded OR p.is_prefix)), ''),
            (array_agg(p.content ORDER BY p.place) FILTER (WHERE p.is_prefix AND NOT p.excluded))[:100]
        INTO is_plain, words, prefixes
        FROM pgknowbase_parse_query(query) WITH ORDINALITY AS p (
            clause, content, required, excluded, in_title, is_prefix, is_phrase, place);
    END IF;
    IF is_plain THEN
        words := query;
    END IF;
END
$pgknowbase$;
