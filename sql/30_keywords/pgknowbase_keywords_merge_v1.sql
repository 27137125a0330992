-- Merges what was written lately into the index of words. Postgres keeps it in a list until it has 4 MB
-- (gin_pending_list_limit), or until autovacuum comes by, and each search for a new word, a prefix, a phrase or another spelling reads the
-- whole list. Returns how many pages the list had; NULL where the index is of a role whose rights the caller does not have.
CREATE OR REPLACE FUNCTION pgknowbase_keywords_merge_v1() RETURNS bigint
LANGUAGE sql VOLATILE PARALLEL UNSAFE SECURITY INVOKER SET search_path FROM CURRENT
AS $pgknowbase$
    SELECT gin_clean_pending_list(c.oid) FROM pg_class AS c
    WHERE c.oid = 'pgknowbase_keywords_words'::regclass AND pg_has_role(c.relowner, 'USAGE')
$pgknowbase$;
