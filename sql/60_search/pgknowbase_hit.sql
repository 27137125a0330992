-- One object that a search found, with its best chunk.
--
--   source, object_key  the object: content type id of its model, and its primary key as text
--   chunk_seq, chunk    the best chunk; NULL where the object has none
--   span                where the chunk stands in the document's content, in characters from 0; NULL where it does not
--   similarity          one minus the cosine distance, in [-1, 1]; NULL where vectors were not compared
--   keyword_score       BM25; NULL where no word is shared
--   score               what the hits are ordered by
CREATE TYPE pgknowbase_hit AS (
    source integer,
    object_key text,
    external_data_id bigint,
    chunk_seq integer,
    chunk text,
    span int4range,
    similarity float8,
    keyword_score float8,
    score float8
);
