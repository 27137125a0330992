-- How older words may spell a word: as its stem of now, or as a beginning of the word that is not much shorter, since a
-- stemmer takes away endings, and sometimes umlauts. For words that another stemmer has made, or none.
CREATE OR REPLACE FUNCTION pgknowbase_older_spellings(word text, stem text) RETURNS text[]
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SECURITY INVOKER SET search_path FROM CURRENT
AS $pgknowbase$
BEGIN
    RETURN ARRAY(
        SELECT stem UNION
        SELECT left(w.spelling, n)
        FROM unnest(ARRAY[word, translate(word, 'äöü', 'aou')]) AS w (spelling)
        CROSS JOIN generate_series(greatest(2, least(length(stem) - 1, ceil(0.4 * length(word))::integer)), length(word)) AS n
        ORDER BY 1);
END
$pgknowbase$;
