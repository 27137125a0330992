CREATE TRIGGER pgknowbase_keywords_truncate AFTER TRUNCATE ON pgknowbase_document
    FOR EACH STATEMENT EXECUTE FUNCTION pgknowbase_keywords_remove();
