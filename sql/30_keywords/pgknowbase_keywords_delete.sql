CREATE TRIGGER pgknowbase_keywords_delete AFTER DELETE ON pgknowbase_document
    REFERENCING OLD TABLE AS gone
    FOR EACH STATEMENT EXECUTE FUNCTION pgknowbase_keywords_remove();
