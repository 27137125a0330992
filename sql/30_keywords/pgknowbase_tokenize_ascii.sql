-- The words of a text that is ASCII, or that pgknowbase_part_words has made words of, and shorter than 250,000
-- characters; of others by pgknowbase_tokenize_document_v1. Inlined where it is called, hence no SET. Its names are
-- resolved when it is created. Punctuation is taken out that the parser would take for a part of a word, a number, an
-- address or a tag: character by character, which takes a tenth of the time of one translate().
CREATE OR REPLACE FUNCTION pgknowbase_tokenize_ascii(language text, content text) RETURNS tsvector
LANGUAGE sql STABLE PARALLEL SAFE SECURITY INVOKER
RETURN to_tsvector(language::regconfig,
    replace(replace(replace(replace(replace(replace(replace(replace(
        content, '.', ' '), '/', ' '), '-', ' '), '+', ' '), '@', ' '), '<', ' '), '&', ' '), '~', ' '));
