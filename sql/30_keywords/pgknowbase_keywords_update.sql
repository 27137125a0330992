CREATE TRIGGER pgknowbase_keywords_update AFTER UPDATE ON pgknowbase_document
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION pgknowbase_keywords_mark_stale();
