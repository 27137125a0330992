-- The words of a text in a language, a text search configuration such as 'english' or 'simple': a tsvector.
-- Punctuation parts words, so that 'gzip.open' is found by either; text in scripts without spaces, and Korean, is cut
-- into pairs of characters. A text with more words than a tsvector can hold counts with its first half, and so on:
-- pgknowbase_count_words tells them all.
--
--   SELECT pgknowbase_tokenize_document_v1('english', 'The quick gzip.open');   --   'gzip':3 'open':4 'quick':2
-- requires: pgknowbase_bigrams, pgknowbase_part_words
CREATE OR REPLACE FUNCTION pgknowbase_tokenize_document_v1(language text, content text) RETURNS tsvector
LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY INVOKER SET search_path FROM CURRENT
AS $pgknowbase$
DECLARE
    _text text := content;
BEGIN
    IF octet_length(_text) > length(_text) THEN
        _text := pgknowbase_bigrams(pgknowbase_part_words(_text), ends => true);
    END IF;
    LOOP
        BEGIN
            RETURN pgknowbase_tokenize_ascii(language, _text);
        EXCEPTION WHEN program_limit_exceeded THEN
            _text := left(_text, length(_text) / 2);
        END;
    END LOOP;
END
$pgknowbase$;
