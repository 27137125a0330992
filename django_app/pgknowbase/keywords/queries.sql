-- Statements that Python runs; core/queries.sql says how they are written.

-- keywords_refresh --
SELECT pgknowbase_keywords_refresh_v1(%(max_documents)s)

-- postings_gather --
SELECT pgknowbase_postings_gather_v1(%(at_least)s)

-- keywords_merge --
SELECT pgknowbase_keywords_merge_v1()

-- words_of_others --
SELECT coalesce(sum(o.documents), 0)::bigint FROM pgknowbase_words_of_others_v1() AS o

-- keywords_stale --
SELECT k.stale FROM pgknowbase_keywords AS k WHERE k.source = %(source)s AND k.id = %(object_key)s
