-- Drops pgai's catalog if pgknowbase brought it and no vectorizer or semantic catalog is left in it.
DO $pgknowbase$
BEGIN
    IF pg_catalog.to_regclass('ai.vectorizer') IS NULL THEN
        RETURN;
    END IF;
    IF pg_catalog.obj_description(pg_catalog.to_regnamespace('ai'), 'pg_namespace')
            OPERATOR(pg_catalog.=) 'installed by pgknowbase'
        AND NOT EXISTS (SELECT 1 FROM ai.vectorizer) AND NOT EXISTS (SELECT 1 FROM ai.semantic_catalog)
    THEN
        DROP SCHEMA ai CASCADE;
    END IF;
END
$pgknowbase$;
