-- Removes what the index knows of a model that is not a source any more, its waiting changes included.
-- The label's case does not matter.
-- SELECT pgknowbase_source_remove_v1('blog.Note');
CREATE OR REPLACE FUNCTION pgknowbase_source_remove_v1(label text) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER SET search_path FROM CURRENT
AS $pgknowbase$
DECLARE
    _source int := (
        SELECT t.id FROM django_content_type AS t
        WHERE t.app_label = split_part(label, '.', 1) AND t.model = lower(split_part(label, '.', 2))
    );
BEGIN
    DELETE FROM pgknowbase_outbox AS o WHERE lower(o.source) = lower(label);
    DELETE FROM pgknowbase_expansion AS e WHERE lower(e.source) = lower(label);
    DELETE FROM pgknowbase_source AS s WHERE lower(s.source) = lower(label);
    DELETE FROM pgknowbase_render AS r WHERE lower(r.source) = lower(label);
    -- pgai's trigger on the documents takes the chunks along. Documents before external data: the order of all locks.
    DELETE FROM pgknowbase_document AS d WHERE d.source = _source;
    DELETE FROM pgknowbase_externaldata AS e WHERE e.content_type_id = _source;
END
$pgknowbase$;
