-- pgai's configuration of a splitter. splitter: a name that pgknowbase_separators knows; 'none', which leaves a document
-- whole; or the JSON of the setting SPLITTER: separators of one's own, which pgai's recursive splitter takes one after the
-- other, or its character splitter, which has one.
CREATE OR REPLACE FUNCTION pgknowbase_chunking_v1(splitter text, chunk_size integer, chunk_overlap integer) RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY INVOKER SET search_path FROM CURRENT
AS $pgknowbase$
DECLARE
    _own jsonb;
    _separators text[];
BEGIN
    IF splitter = 'none' THEN
        RETURN ai.chunking_none();
    ELSIF NOT starts_with(splitter, '{') THEN
        RETURN ai.chunking_recursive_character_text_splitter(
            chunk_size, chunk_overlap, pgknowbase_separators(splitter), is_separator_regex => true);
    END IF;
    _own := splitter::jsonb;
    _separators := ARRAY(SELECT jsonb_array_elements_text(_own -> 'SEPARATORS'));
    IF (_own ->> 'RECURSIVE')::boolean THEN
        RETURN ai.chunking_recursive_character_text_splitter(
            chunk_size, chunk_overlap, _separators, is_separator_regex => (_own ->> 'REGEX')::boolean);
    END IF;
    RETURN ai.chunking_character_text_splitter(
        chunk_size, chunk_overlap, _separators[1], is_separator_regex => (_own ->> 'REGEX')::boolean);
END
$pgknowbase$;
