-- The words of a title and a text that are not in the index yet; those of the title have the weight A.
-- requires: pgknowbase_tokenize_document_v1
CREATE OR REPLACE FUNCTION pgknowbase_tokenize_titled(language text, title text, content text) RETURNS tsvector
LANGUAGE sql STABLE PARALLEL SAFE SECURITY INVOKER SET search_path FROM CURRENT
AS $pgknowbase$
    SELECT setweight(pgknowbase_tokenize_document_v1(language, concat(title, E'\n', content)), 'A',
        tsvector_to_array(pgknowbase_tokenize_document_v1(language, title)))
$pgknowbase$;
