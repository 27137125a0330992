-- Hands everything that waits under one label of a source model to another one, such as 'blog.Note' to 'blog.Memo', and
-- the objects in the index with it. Where Django has renamed the content type already, they are there.
-- SELECT pgknowbase_source_rename_v1('blog.Note', 'blog.Memo');
CREATE OR REPLACE FUNCTION pgknowbase_source_rename_v1(old_label text, new_label text) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER SET search_path FROM CURRENT
AS $pgknowbase$
BEGIN
    UPDATE pgknowbase_outbox SET source = new_label WHERE source = old_label;
    UPDATE pgknowbase_expansion SET source = new_label WHERE source = old_label;
    DELETE FROM pgknowbase_source WHERE source = new_label AND old_label <> new_label
        AND EXISTS (SELECT FROM pgknowbase_source WHERE source = old_label);
    UPDATE pgknowbase_source SET source = new_label WHERE source = old_label;
    DELETE FROM pgknowbase_render WHERE source = old_label;
    -- A content type of the new label that exists already has objects of its own; they stay apart.
    UPDATE django_content_type AS t
    SET app_label = split_part(new_label, '.', 1), model = lower(split_part(new_label, '.', 2))
    WHERE t.app_label = split_part(old_label, '.', 1) AND t.model = lower(split_part(old_label, '.', 2))
        AND NOT EXISTS (
            SELECT FROM django_content_type AS other
            WHERE other.app_label = split_part(new_label, '.', 1) AND other.model = lower(split_part(new_label, '.', 2))
        );
END
$pgknowbase$;
