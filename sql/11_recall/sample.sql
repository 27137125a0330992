-- Vectors of stored chunks, drawn by a hash, so that the same seed draws the same ones.
SELECT c.embedding::text
FROM pgknowbase_chunk AS c
WHERE c.embedding_uuid IN (
    SELECT s.embedding_uuid FROM pgknowbase_chunk AS s
    WHERE s.source = ANY (coalesce(%s::int[], ARRAY[s.source]))
    ORDER BY hashtextextended(s.source::text || ' ' || s.id || ' ' || s.chunk_seq::text, %s) LIMIT %s)
ORDER BY c.source, c.id, c.chunk_seq
