-- Where a chunk stands in its document's content, in characters from 0; NULL where it does not. What its space's template
-- puts around a chunk is left out. Inlined where it is joined, as LATERAL, so that all hits of a search are one join:
-- hence no SET. Its names are resolved when it is created. elsewhere: the content, where it lies on a shard.
CREATE OR REPLACE FUNCTION pgknowbase_chunk_offsets(
    of_source integer, of_key text, chunk text, template text, elsewhere text DEFAULT NULL)
RETURNS TABLE (span int4range)
LANGUAGE sql STABLE PARALLEL SAFE SECURITY INVOKER ROWS 1
BEGIN ATOMIC
    SELECT CASE WHEN f.place > 0 THEN int4range(f.place - 1, f.place - 1 + length(f.piece)) END
    FROM (
        SELECT p.piece, strpos(p.content, p.piece) AS place
        FROM (
            SELECT coalesce(d.content, elsewhere) AS content, substr(
                chunk,
                1 + length(replace(split_part(template, '$chunk', 1), '$title', d.title)),
                greatest(0, length(chunk) - length(replace(replace(template, '$chunk', ''), '$title', d.title)))) AS piece
            FROM pgknowbase_document AS d WHERE d.source = of_source AND d.id = of_key
            OFFSET 0 -- cut once, and looked for once, not in each place that it is named
        ) AS p
        OFFSET 0
    ) AS f;
END;
