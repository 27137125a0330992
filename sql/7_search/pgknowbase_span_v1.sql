-- Where a chunk of the active space stands in its document's content, in characters from 0; NULL where it does not. What
-- the space's template puts around a chunk is left out.
CREATE OR REPLACE FUNCTION pgknowbase_span_v1(of_source integer, of_key text, chunk text) RETURNS int4range
LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY INVOKER
SET search_path FROM CURRENT
SET plan_cache_mode = 'force_generic_plan' -- planned once, not for every hit
AS $pgknowbase$
#variable_conflict use_variable
DECLARE
    _title text;
    _content text;
    _template text;
    _before integer;
    _piece text;
    _place integer;
BEGIN
    SELECT d.title, d.content, s.template INTO _title, _content, _template
    FROM pgknowbase_document AS d JOIN pgknowbase_space AS s ON s.is_active
    WHERE d.source = of_source AND d.id = of_key;
    _before := length(replace(split_part(_template, '$chunk', 1), '$title', _title));
    _piece := substr(chunk, _before + 1, length(chunk) - _before
        - length(replace(split_part(_template, '$chunk', 2), '$title', _title)));
    _place := strpos(_content, _piece);
    RETURN CASE WHEN _place > 0 THEN int4range(_place - 1, _place - 1 + length(_piece)) END;
END
$pgknowbase$;
