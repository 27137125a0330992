-- Locks the objects as pgknowbase_lock_objects_v1 does, and says whether the triggers of their model, named by its label,
-- watch the paths that the caller's version of the project declares. It is asked behind the locks, in a snapshot of its
-- own: a migrate that ends later has every row rendered again, which waits for these locks.
-- SELECT pgknowbase_lock_current_objects_v1(7, '{1,2}', 'blog.Article', '{title,body}');
-- requires: pgknowbase_lock_objects_v1
CREATE OR REPLACE FUNCTION pgknowbase_lock_current_objects_v1(source integer, object_keys text[], label text, paths text[])
RETURNS boolean
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER SET search_path FROM CURRENT
AS $pgknowbase$
BEGIN
    PERFORM pgknowbase_lock_objects_v1(source, object_keys);
    RETURN NOT EXISTS (
        SELECT FROM pgknowbase_source AS s
        WHERE s.source = pgknowbase_lock_current_objects_v1.label
            AND s.paths <> pgknowbase_lock_current_objects_v1.paths);
END
$pgknowbase$;
