-- What a search text may have meant: the same text with words that no document has, and of which one edit makes a word that
-- documents have, in the spelling of the latter. NULL where there are none.
--
-- Only documents that the viewer may see count (visible_to and sources of the filter; with private its ids, too), and only languages
-- that such documents are in, so that neither a suggestion nor its absence tells what is in the others.
--
--   corrected      what to search for
--   did_you_mean   the same, and words that hardly any document has are in the spelling of one that twenty times as many have
--
-- Words of four to 24 letters count, for each letter more is fifty spellings more to look for; those in scripts without spaces,
-- excluded ones and prefixes do not, nor any of which one edit makes a stop word, nor those of most_candidates documents or more,
-- of which nobody has looked whether the viewer may see one. Four words at most are corrected, with the five languages that most
-- documents are in.
--
--   SELECT * FROM pgknowbase_correct_v1('reapir -"botom braket" gears', pgknowbase_filter_v1(visible_to => ''));
CREATE OR REPLACE FUNCTION pgknowbase_correct_v1(
    query text, filter pgknowbase_filter DEFAULT NULL, most_candidates integer DEFAULT 10000)
RETURNS TABLE (corrected text, did_you_mean text)
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED SECURITY INVOKER ROWS 1 SET search_path FROM CURRENT
SET jit = 'off'
SET enable_seqscan = 'off'
SET standard_conforming_strings = on -- a session may read the backslashes below in another way
AS $pgknowbase$
#variable_conflict use_variable
DECLARE
    _letter CONSTANT text := '[A-Za-z\u00C0-\u1FFF\u2C00-\u2DFF\uA640-\uA7FF\uFB00-\uFDFF\uFE70-\uFEFF]';
    _seen CONSTANT pgknowbase_filter := CASE
        WHEN filter.visible_to IS NOT NULL OR filter.private THEN pgknowbase_filter_v1(
            sources => filter.sources, visible_to => filter.visible_to,
            object_keys => CASE WHEN filter.private THEN filter.object_keys END,
            external_data_ids => CASE WHEN filter.private THEN filter.external_data_ids END) END;
    _languages text[];
    _spoken text[]; -- those of documents that the viewer may see, as far as 2,000 of each tell
    _language text;
    _word record;
    _present bigint;
    _is_common boolean;
    _best record;
    _left integer := 4;
    _absent jsonb := '{}';
    _all jsonb := '{}';
BEGIN
    IF filter.private AND num_nonnulls(filter.visible_to, filter.object_keys, filter.external_data_ids) = 0 THEN
        RETURN; -- what the viewer may see is not known here
    END IF;
    SELECT array_agg(l.language ORDER BY l.documents DESC, l.language) INTO _languages
    FROM (
        SELECT c.language, sum(c.documents) AS documents FROM pgknowbase_corpus AS c
        WHERE filter.sources IS NULL OR c.source = ANY (filter.sources) GROUP BY c.language HAVING sum(c.documents) > 0
    ) AS l
    WHERE pgknowbase_word_maker(l.language) IS NOT NULL;
    IF query IS NULL OR _languages IS NULL THEN
        RETURN;
    END IF;
    SELECT array_agg(l.language ORDER BY l.place) INTO _spoken
    FROM unnest(_languages) WITH ORDINALITY AS l (language, place)
    WHERE _seen IS NULL OR EXISTS (
        SELECT FROM (SELECT k.source, k.id FROM pgknowbase_keywords AS k
            WHERE k.language = l.language AND (filter.sources IS NULL OR k.source = ANY (filter.sources)) LIMIT 2000) AS c
        WHERE EXISTS (
            SELECT FROM pgknowbase_externaldata AS e
            WHERE e.content_type_id = c.source AND e.object_key = c.id AND pgknowbase_matches_filter(e, _seen)));
    FOR _word IN
        SELECT n.word, min(w.place) AS place
        FROM pgknowbase_read_query(left(query, 2000)) AS r
        CROSS JOIN LATERAL regexp_matches(r.words, format('%s{4,}', _letter), 'g') WITH ORDINALITY AS w (found, place)
        CROSS JOIN LATERAL (
            SELECT CASE WHEN octet_length(w.found[1]) = length(w.found[1]) THEN lower(w.found[1])
                ELSE pgknowbase_part_words(w.found[1]) END AS word
        ) AS n
        WHERE w.place <= 100 AND length(n.word) BETWEEN 4 AND 24 AND n.word NOT LIKE '% %' AND pgknowbase_bigrams(n.word) = n.word
        GROUP BY n.word ORDER BY 2
    LOOP
        _present := 0;
        _is_common := false;
        FOREACH _language IN ARRAY _languages LOOP
            SELECT _present + coalesce(
                sum(pgknowbase_count_documents(quote_literal(u.lexeme)::tsquery, _language, filter.sources, _seen, 3, most_candidates)),
                CASE WHEN _language = ANY (_spoken) THEN 3 ELSE 0 END) INTO _present -- a stop word has none, and is present
            FROM unnest(pgknowbase_tokenize_ascii(_language, _word.word)) AS u;
            EXIT WHEN _present > 2;
        END LOOP;
        IF _present = 0 AND NOT (_seen IS NULL) THEN -- of a row IS NOT NULL asks for each field
            FOREACH _language IN ARRAY _languages LOOP
                SELECT max(pgknowbase_count_documents(
                    quote_literal(u.lexeme)::tsquery, _language, filter.sources, NULL, most_candidates, 0)) >= most_candidates
                INTO _is_common
                FROM unnest(pgknowbase_tokenize_ascii(_language, _word.word)) AS u;
                EXIT WHEN _is_common;
            END LOOP;
        END IF;
        CONTINUE WHEN _present > 2 OR _is_common;
        SELECT b.* INTO _best FROM pgknowbase_likely_spelling(_word.word, _spoken[:5], filter.sources, _seen) AS b;
        IF _best.spelling IS NOT NULL AND (_present = 0 OR _best.documents >= 20 * _present) THEN
            _all := _all || jsonb_build_object(_word.word, _best.spelling);
            IF _present = 0 THEN
                _absent := _absent || jsonb_build_object(_word.word, _best.spelling);
            END IF;
        END IF;
        _left := _left - 1;
        EXIT WHEN _left = 0;
    END LOOP;
    RETURN QUERY
    WITH piece AS (
        SELECT p.place, p.found[1] AS piece, coalesce(CASE
                WHEN octet_length(p.found[1]) = length(p.found[1]) THEN lower(p.found[1])
                ELSE pgknowbase_part_words(p.found[1]) END, '') AS word,
            p.found[1] ~ '^[A-Z]' AS is_capital
        FROM regexp_matches(query, format('%1$s+|[^%2$s+', _letter, substr(_letter, 2)), 'g') WITH ORDINALITY AS p (found, place)
    )
    SELECT
        CASE WHEN _absent <> '{}' THEN string_agg(coalesce(
            CASE WHEN s.is_capital THEN upper(left(_absent ->> s.word, 1)) || substr(_absent ->> s.word, 2)
            ELSE _absent ->> s.word END, s.piece), '' ORDER BY s.place) END,
        CASE WHEN _all <> '{}' THEN string_agg(coalesce(
            CASE WHEN s.is_capital THEN upper(left(_all ->> s.word, 1)) || substr(_all ->> s.word, 2)
            ELSE _all ->> s.word END, s.piece), '' ORDER BY s.place) END
    FROM piece AS s WHERE _all <> '{}' HAVING count(*) > 0;
END
$pgknowbase$;
