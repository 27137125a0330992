-- Notes what the hooks of a source model were seen to read though no path watches it, in the place of what was noted.
CREATE OR REPLACE FUNCTION pgknowbase_rendering_reads_set_v1(source_label text, reads text[]) RETURNS void
LANGUAGE sql VOLATILE PARALLEL UNSAFE SECURITY INVOKER SET search_path FROM CURRENT
AS $pgknowbase$
    UPDATE pgknowbase_render AS r SET unwatched = reads
    WHERE r.source = source_label AND r.unwatched IS DISTINCT FROM reads
$pgknowbase$;
