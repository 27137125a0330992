-- Records which paths the migrated triggers of a source model watch; null where they are not those of its declaration.
-- After a change of the paths every row is to be rendered again, because the columns of one are its default text.
-- A class whose name changes its case alone keeps its content type, but events spell the label as the class did.
-- SELECT pgknowbase_source_declare_v1('blog.Note', '{title,author__name}');
CREATE OR REPLACE FUNCTION pgknowbase_source_declare_v1(label text, watched text[]) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER SET search_path FROM CURRENT
AS $pgknowbase$
DECLARE
    _before pgknowbase_source;
BEGIN
    UPDATE pgknowbase_outbox AS o SET source = label WHERE lower(o.source) = lower(label) AND o.source <> label;
    UPDATE pgknowbase_expansion AS x SET source = label WHERE lower(x.source) = lower(label) AND x.source <> label;
    UPDATE pgknowbase_source AS s SET source = label WHERE lower(s.source) = lower(label) AND s.source <> label;
    SELECT * INTO _before FROM pgknowbase_source AS s WHERE s.source = label FOR UPDATE;
    IF _before.source IS NULL THEN
        INSERT INTO pgknowbase_source (source, paths) SELECT label, watched WHERE watched IS NOT NULL;
    ELSIF _before.paths IS DISTINCT FROM watched THEN
        UPDATE pgknowbase_source AS s SET paths = watched, migrated_at = clock_timestamp() WHERE s.source = label;
        INSERT INTO pgknowbase_expansion (source, path) SELECT label, '*' WHERE watched IS NOT NULL;
    END IF;
END
$pgknowbase$;
