-- The texts that one edit makes of a word: a letter too few, too many, another one, or two in the wrong order. Letters are those
-- of the word's script, in a language other than English those with marks, too. Of a script whose letters are not listed here
-- letters are only taken out or change places.
--
--   kind   0: two in another order; 1: another letter; 2: one more; 3: one less
CREATE OR REPLACE FUNCTION pgknowbase_spellings(word text, language text)
RETURNS TABLE (spelling text, kind integer)
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SECURITY INVOKER ROWS 500 SET search_path FROM CURRENT
SET standard_conforming_strings = on -- a session may read the backslashes below in another way
AS $pgknowbase$
DECLARE
    _letters CONSTANT text := CASE
        WHEN word ~ '^[a-z]+$' AND language IN ('english', 'simple', 'indonesian') THEN 'abcdefghijklmnopqrstuvwxyz'
        WHEN word ~ '^[a-z\u00DF-\u024F]+$'
        THEN 'abcdefghijklmnopqrstuvwxyzàáâãäåæçèéêëìíîïñòóôõöøùúûüýßœăąčćęėğįıłńőřśşșšţțůųūűźżž'
        WHEN word ~ '^[\u0400-\u052F]+$' THEN 'абвгдежзийклмнопрстуфхцчшщъыьэюяёіїєґђјљњћџў'
        WHEN word ~ '^[\u0370-\u03FF\u1F00-\u1FFF]+$' THEN 'αβγδεζηθικλμνξοπρστυφχψωάέήίόύώϊϋ'
        WHEN word ~ '^[\u0620-\u06FF]+$' THEN 'ابتثجحخدذرزسشصضطظعغفقكلمنهويءآأؤإئىةپچژگکی'
        WHEN word ~ '^[\u05D0-\u05EA]+$' THEN 'אבגדהוזחטיכלמנסעפצקרשתםןךףץ'
        WHEN word ~ '^[\u0561-\u0587]+$' THEN 'աբգդեզէըթժիլխծկհձղճմյնշոչպջռսվտրցւփքօֆ'
        WHEN word ~ '^[\u10D0-\u10FA]+$' THEN 'აბგდევზთიკლმნოპჟრსტუფქღყშჩცძწჭხჯჰ'
        ELSE '' END;
BEGIN
    RETURN QUERY
    SELECT m.spelling, min(m.kind)
    FROM (
        SELECT left(word, n - 1) || substr(word, n + 1, 1) || substr(word, n, 1) || substr(word, n + 2), 0
        FROM generate_series(1, length(word) - 1) AS n
        UNION ALL
        SELECT left(word, n - 1) || l.letter || substr(word, n + 1), 1
        FROM generate_series(1, length(word)) AS n CROSS JOIN regexp_split_to_table(_letters, '') AS l (letter)
        UNION ALL
        SELECT left(word, n) || l.letter || substr(word, n + 1), 2
        FROM generate_series(0, length(word)) AS n CROSS JOIN regexp_split_to_table(_letters, '') AS l (letter)
        UNION ALL
        SELECT left(word, n - 1) || substr(word, n + 1), 3 FROM generate_series(1, length(word)) AS n
    ) AS m (spelling, kind)
    WHERE m.spelling <> word
    GROUP BY m.spelling;
END
$pgknowbase$;
