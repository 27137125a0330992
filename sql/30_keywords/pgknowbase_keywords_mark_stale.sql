-- Trigger after INSERT or UPDATE of documents: marks their words as stale, for the worker to compute.
CREATE OR REPLACE FUNCTION pgknowbase_keywords_mark_stale() RETURNS trigger
LANGUAGE plpgsql VOLATILE SECURITY INVOKER SET search_path FROM CURRENT
AS $pgknowbase$
BEGIN
    INSERT INTO pgknowbase_keywords AS k (source, id)
    SELECT c.source, c.id FROM changed AS c
    ON CONFLICT (source, id) DO UPDATE SET stale = true WHERE NOT k.stale;
    RETURN NULL;
END
$pgknowbase$;
