-- A search text as its parts, in the form of websearch_to_tsquery: "a phrase", -excluded, one OR another, title:word and
-- prefix*, in any combination such as -title:"a phrase". No rows for a text that has none of these: it is just words.
-- Whatever has no such form is words, too, as in '5" - or 10*3', and -40 is a number, so every text has a meaning. 10,000
-- characters are read.
-- A text with more than ten other words is prose, such as a message of an error: quotes and signs in it are meant as they stand
-- there, so it is just words. So is one with more than three that ends in a question mark, if quotes are all that it has: who
-- excludes something or asks for a title means it. Of scripts without spaces two letters count as a word.
--
--   clause    parts of one clause are alternatives, which OR joins
--   required  an object has to satisfy the clause; else its words only count
--
--   SELECT * FROM pgknowbase_parse_query('gears OR chains -"bottom bracket"');
CREATE OR REPLACE FUNCTION pgknowbase_parse_query(query text)
RETURNS TABLE (
    clause integer, content text, required boolean, excluded boolean, in_title boolean, is_prefix boolean,
    is_phrase boolean)
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SECURITY INVOKER SET search_path FROM CURRENT
SET standard_conforming_strings = on -- a session may read the backslashes below in another way
AS $pgknowbase$
DECLARE
    _word CONSTANT text := '[\u3040-\u30FF\u3400-\u9FFF]{1,2}|[^\s\u3040-\u30FF\u3400-\u9FFF]+';
    -- Telephones turn the quotes that are typed into the quotes of typesetters.
    _text CONSTANT text := translate(left(query, 10000), '“”„‟', '""""');
    -- The question marks of Latin, Arabic, Chinese, Greek, Armenian and Ethiopic texts; in Armenian it stands in the last word.
    _is_question CONSTANT boolean := _text ~ '([?\u061F\uFF1F\u037E\u1367]|\u055E\w*[:.]?)[")'']*\s*$';
BEGIN
    IF _text !~ '(?:^|[\s(])(?:-?(?:title:)?"[^"]|-[^\s\d-]|title:\S|OR\s)|\w\*' THEN
        RETURN;
    END IF;
    RETURN QUERY
    WITH token AS (
        SELECT t.place, coalesce(t.found[1], t.found[4]) IS NOT NULL AS excluded,
            coalesce(t.found[2], t.found[5]) IS NOT NULL AS in_title, t.found[3] IS NOT NULL AS is_phrase,
            coalesce(t.found[3], t.found[6]) AS content
        FROM regexp_matches(
            _text,
            '(?:(?<![^\s(])(-)?(title:)?"([^"]+)"(?![[:alnum:]]))'
            '|((?<![^\s(])-(?=[^\s"\d-]))?((?<![^\s(-])title:(?=[^\s"]))?([^\s"]+)|"', 'g') WITH ORDINALITY AS t (found, place)
        WHERE t.found[3] IS NOT NULL OR t.found[6] IS NOT NULL
    ), part AS (
        SELECT t.*, NOT t.is_phrase AND t.content ~ '[^\W_]{2,}\*+$' AS is_prefix,
            NOT (t.is_phrase OR t.excluded OR t.in_title) AND t.content = 'OR' AS is_or
        FROM token AS t
    ), joined AS (
        SELECT p.*, p.is_or AND bool_or(NOT p.is_or) OVER before AND bool_or(NOT p.is_or) OVER after AS joins
        FROM part AS p
        WINDOW before AS (ORDER BY p.place ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING),
            after AS (ORDER BY p.place ROWS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING)
    ), numbered AS (
        SELECT n.*, sum(CASE WHEN n.follows OR n.joins THEN 0 ELSE 1 END) OVER (ORDER BY n.place) AS number
        FROM (SELECT j.*, lag(j.joins, 1, false) OVER (ORDER BY j.place) AS follows FROM joined AS j) AS n
    )
    SELECT c.clause, c.content, c.required, c.excluded, c.in_title, c.is_prefix, c.is_phrase
    FROM (
        SELECT r.*, sum(CASE WHEN r.required THEN 0 ELSE regexp_count(r.content, _word) END) OVER () AS others,
            bool_and(NOT r.required OR r.is_quoted) OVER () AS only_quotes
        FROM (
            SELECT n.place, n.number::integer AS clause,
                CASE WHEN n.is_prefix THEN rtrim(n.content, '*') ELSE n.content END AS content,
                n.excluded OR n.in_title OR n.is_prefix OR n.is_phrase OR count(*) OVER (PARTITION BY n.number) > 1 AS required,
                n.is_phrase AND NOT n.excluded AND NOT n.in_title AND count(*) OVER (PARTITION BY n.number) = 1 AS is_quoted,
                n.excluded, n.in_title, n.is_prefix, n.is_phrase
            FROM numbered AS n WHERE NOT n.joins
        ) AS r
    ) AS c
    WHERE c.others <= CASE WHEN _is_question AND c.only_quotes THEN 3 ELSE 10 END
    ORDER BY c.place;
END
$pgknowbase$;
