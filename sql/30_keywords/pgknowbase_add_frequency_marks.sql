-- The words of a document, and for each that stands there often, measured by the length of the document as BM25 does,
-- marks that the index can find: '^1zebra' if it counts 1.6 times a single one in a document of average length,
-- '^2zebra' if it counts 1.6^2 times, up to '^5zebra'. They are in the place of no word. Words of texts never contain
-- '^'. frequent is that of pgknowbase_keywords.
CREATE OR REPLACE FUNCTION pgknowbase_add_frequency_marks(
    words tsvector, length integer, average float8, frequent jsonb DEFAULT NULL)
RETURNS tsvector
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
    FROM (
        SELECT w.lexeme, coalesce((frequent ->> w.lexeme)::integer, cardinality(w.positions)) AS times
        FROM unnest(words) AS w
    ) AS u
    CROSS JOIN generate_series(1, least(5, floor(ln(u.times / _single) / ln(1.6) + 1e-9)::integer)) AS m (level)
    WHERE u.times >= 1.6 * _single;
    RETURN CASE WHEN _marks IS NULL THEN words ELSE words || array_to_tsvector(_marks) END;
END
$pgknowbase$;
