-- The text with each run of a script that is searched by pairs of characters taken apart into such pairs, which overlap:
-- scripts that put no space between words (Chinese, Japanese, Thai, Lao, Khmer, Burmese), and Korean, which puts particles
-- behind them. 'SQL数据库' becomes 'SQL 数据 据库', and, with ends, 'SQL 数据 据库 库': so each character of a document begins one
-- word, and whoever looks for one character finds it.
CREATE OR REPLACE FUNCTION pgknowbase_bigrams(content text, ends boolean DEFAULT false) RETURNS text
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SECURITY INVOKER SET search_path FROM CURRENT
SET standard_conforming_strings = on -- a session may read the backslashes below in another way
AS $pgknowbase$
DECLARE
    _scripts CONSTANT text := '\u0E00-\u0EFF\u1000-\u109F\u1780-\u17FF\u3005-\u3007\u3040-\u30FF\u3400-\u4DBF\u4E00-\u9FFF'
        '\uAC00-\uD7A3\uF900-\uFAFF\U00020000-\U0003FFFF';
BEGIN
    IF content !~ format('[%s]', _scripts) THEN
        RETURN content;
    END IF;
    RETURN (
        SELECT string_agg(coalesce(part.run[2], pairs.spaced, part.run[1]), ' ' ORDER BY part.place)
        FROM regexp_matches(content, format('([%1$s]+)|([^%1$s]+)', _scripts), 'g') WITH ORDINALITY AS part (run, place)
        CROSS JOIN LATERAL (
            -- By the next row and not by places of an array, which are found by counting from its start.
            SELECT string_agg(
                c.letter || CASE WHEN ends THEN coalesce(c.following, '') ELSE c.following END, ' ' ORDER BY c.place) AS spaced
            FROM (
                SELECT u.letter, u.place, lead(u.letter) OVER (ORDER BY u.place) AS following
                FROM regexp_split_to_table(part.run[1], '') WITH ORDINALITY AS u (letter, place)
            ) AS c
        ) AS pairs);
END
$pgknowbase$;
