-- Drops pgai's catalog if pgknowbase brought it and no vectorizer or semantic catalog is left in it.
DO $pgknowbase$
BEGIN
    IF to_regclass('ai.vectorizer') IS NULL THEN
        RETURN;
    END IF;
    IF obj_description(to_regnamespace('ai'), 'pg_namespace') = 'installed by pgknowbase'
        AND NOT EXISTS (SELECT 1 FROM ai.vectorizer) AND NOT EXISTS (SELECT 1 FROM ai.semantic_catalog)
    THEN
        DROP SCHEMA ai CASCADE;
    END IF;
END
$pgknowbase$;
