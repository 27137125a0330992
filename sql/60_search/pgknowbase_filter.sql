-- What a search leaves out. A field that is NULL filters nothing. In SQL it is made by pgknowbase_filter_v1.
--
--   sources            content type ids of the source models to search
--   threshold          least score: a similarity in [-1, 1], of a keyword search a BM25 score. NULL: each object's own least
--                      similarity; of a keyword search any score
--   visible_to         '': public objects only; a user's id: public ones and those that the user owns
--   metadata           the object's metadata must contain this
--   matching           the object's metadata must match this path predicate, such as '$.year >= 2020'
--   tags               the object must have all of these
--   changed_from       its entry in the index must have changed at this time or later
--   changed_before     its entry in the index must have changed before this time
--   object_keys        only the objects of these keys; a dense search compares them exactly
--   external_data_ids  only these objects; a dense search compares them exactly
--   private            there are objects that the viewer may not see, which others than visible_to leave out: the keys, or
--                      whoever reads the hits. See pgknowbase_bm25
--   synonyms           which words stand for others in a search text, as pgknowbase_synonyms_in says it; it filters nothing
--   conditions         what the object's words must satisfy, as pgknowbase_query_conditions says it
CREATE TYPE pgknowbase_filter AS (
    sources integer[],
    threshold float8,
    visible_to text,
    metadata jsonb,
    matching jsonpath,
    tags text[],
    changed_from timestamptz,
    changed_before timestamptz,
    object_keys text[],
    external_data_ids bigint[],
    private boolean,
    conditions jsonb,
    synonyms jsonb
);
