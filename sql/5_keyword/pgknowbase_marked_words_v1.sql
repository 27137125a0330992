-- The words of a document, and for each that stands there often, measured by the length of the document as BM25 does,
-- marks that the index can find: '^1zebra' if it counts 1.6 times a single one in a document of average length, '^2zebra'
-- if it counts 1.6^2 times, up to '^5zebra'. They are in the place of no word. Words of texts never contain '^'.
CREATE OR REPLACE FUNCTION pgknowbase_marked_words_v1(words tsvector, length integer, average float8) RETURNS tsvector
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SECURITY INVOKER SET search_path FROM CURRENT
AS $pgknowbase$
DECLARE
    _single CONSTANT float8 := 0.25 + 0.75 * length / greatest(average, 1);
    _marks text[];
BEGIN
    IF pg_column_size(words) > 400000 THEN -- with marks it could be longer than a tsvector can be
        RETURN words;
    END IF;
    SELECT array_agg('^' || m.level || u.lexeme) INTO _marks
    FROM unnest(words) AS u
    CROSS JOIN generate_series(1, least(5, floor(ln(cardinality(u.positions) / _single) / ln(1.6) + 1e-9)::integer))
        AS m (level)
    WHERE cardinality(u.positions) >= 1.6 * _single;
    RETURN CASE WHEN _marks IS NULL THEN words ELSE words || array_to_tsvector(_marks) END;
END
$pgknowbase$;
