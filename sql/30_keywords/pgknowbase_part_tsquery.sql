-- One part of a search text (pgknowbase_parse_query) in a language, as a tsquery: its words, each directly behind the one
-- before. A prefix finds the words that begin with it, and, since a stemmer takes endings away, the stem that it would
-- have as a word. NULL for a part that is all stop words.
-- requires: pgknowbase_bigrams, pgknowbase_part_words
CREATE OR REPLACE FUNCTION pgknowbase_part_tsquery(language text, content text, in_title boolean, is_prefix boolean)
RETURNS text
LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY INVOKER SET search_path FROM CURRENT
SET standard_conforming_strings = on -- a session may read the backslashes below in another way
SET client_min_messages = warning -- of stop words there would be a notice
AS $pgknowbase$
DECLARE
    _text text := content;
    _last text;
    _prefix boolean := is_prefix;
    _query tsquery;
    _simple tsquery;
    _written text;
BEGIN
    IF octet_length(_text) > length(_text) THEN
        _text := pgknowbase_part_words(_text);
        _last := repeat(right(rtrim(_text), 1), 3);
        _text := rtrim(pgknowbase_bigrams(_text, ends => true));
        IF pgknowbase_bigrams(_last) <> _last THEN
            -- In a document more characters may follow: the last one alone is not a word there.
            IF _text ~ '\S\S \S$' THEN
                _text := left(_text, -2);
            ELSE
                _prefix := true;
            END IF;
        END IF;
    END IF;
    _text := translate(_text, './-+@<&~', '        '); -- as pgknowbase_tokenize_ascii
    _query := phraseto_tsquery(language::regconfig, _text);
    _written := nullif(_query::text, '');
    IF _prefix THEN
        _simple := phraseto_tsquery('pg_catalog.simple', _text);
        IF numnode(_simple) = 1 THEN
            _written := concat_ws('|', _simple::text || ':*', CASE WHEN _query <> _simple THEN _written END);
            -- A stemmer may take away letters of the prefix itself, as in runn*, or universit*.
            IF language <> 'simple' THEN
                _written := concat_ws('|', _written, (
                    SELECT string_agg(quote_literal(left(w.word, n)), '|')
                    FROM (SELECT trim(_simple::text, '''') AS word) AS w
                    CROSS JOIN generate_series(ceil(0.75 * length(w.word))::integer, length(w.word) - 1) AS n
                    WHERE length(w.word) >= 8 OR n >= 3 AND w.word ~ '(.)\1$' AND n = length(w.word) - 1));
            END IF;
        ELSIF _written LIKE '%''' THEN
            _written := _written || ':*';
        END IF;
    END IF;
    IF in_title THEN
        _written := regexp_replace(_written, '(''(?:[^'']|'''')+'')(:\*)?', '\1:A\2', 'g');
        _written := replace(_written, ':A:*', ':*A');
    END IF;
    RETURN '(' || _written || ')';
END
$pgknowbase$;
