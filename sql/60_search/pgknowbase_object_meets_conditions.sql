-- Whether the words of an object satisfy what pgknowbase_query_conditions made of a search text. One whose words no worker has
-- made yet satisfies nothing.
-- requires: pgknowbase_meets_conditions
CREATE OR REPLACE FUNCTION pgknowbase_object_meets_conditions(of_source integer, of_key text, conditions jsonb) RETURNS boolean
LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY INVOKER SET search_path FROM CURRENT SET enable_seqscan = 'off'
SET jit = 'off'
AS $pgknowbase$
#variable_conflict use_variable
BEGIN
    IF to_regclass('pgknowbase_shard_keywords') IS NOT NULL THEN
        RETURN coalesce((
            SELECT pgknowbase_meets_conditions(s.words, s.language, s.source, s.id, conditions)
            FROM pgknowbase_read_shard_keywords(sources => ARRAY[of_source], ids => ARRAY[of_key]) AS s), false);
    END IF;
    RETURN coalesce((
        SELECT pgknowbase_meets_conditions(k.words, k.language, k.source, k.id, conditions)
        FROM pgknowbase_keywords AS k WHERE k.source = of_source AND k.id = of_key COLLATE "default"), false);
END
$pgknowbase$;
