-- The text with each run of a script that puts no space between words (Chinese, Japanese, Thai, Lao, Khmer, Burmese)
-- taken apart into overlapping pairs of characters: 'SQL数据库' becomes 'SQL 数据 据库'.
CREATE OR REPLACE FUNCTION pgknowbase_bigrams_v1(content text) RETURNS text
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SECURITY INVOKER SET search_path FROM CURRENT
AS $pgknowbase$
DECLARE
    _scripts CONSTANT text := '\u0E00-\u0EFF\u1000-\u109F\u1780-\u17FF\u3005-\u3007\u3040-\u30FF\u3400-\u4DBF\u4E00-\u9FFF'
        '\uF900-\uFAFF\U00020000-\U0003FFFF';
BEGIN
    IF content !~ format('[%s]', _scripts) THEN
        RETURN content;
    END IF;
    RETURN (
        SELECT string_agg(coalesce(part.run[2], pairs.spaced, part.run[1]), ' ' ORDER BY part.place)
        FROM regexp_matches(content, format('([%1$s]+)|([^%1$s]+)', _scripts), 'g') WITH ORDINALITY AS part (run, place)
        CROSS JOIN LATERAL (SELECT regexp_split_to_array(part.run[1], '') AS characters) AS split
        CROSS JOIN LATERAL (
            SELECT string_agg(split.characters[i] || split.characters[i + 1], ' ' ORDER BY i) AS spaced
            FROM generate_series(1, cardinality(split.characters) - 1) AS i
        ) AS pairs);
END
$pgknowbase$;
