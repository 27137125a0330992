-- Trigger after INSERT or UPDATE of documents: their words are stale.
CREATE OR REPLACE FUNCTION pgknowbase_keywords_mark_v1() RETURNS trigger
LANGUAGE plpgsql VOLATILE SECURITY INVOKER SET search_path FROM CURRENT
AS $pgknowbase$
BEGIN
    INSERT INTO pgknowbase_keywords AS k (source, id)
    SELECT c.source, c.id FROM changed AS c
    ON CONFLICT (source, id) DO UPDATE SET stale = true WHERE NOT k.stale;
    RETURN NULL;
END
$pgknowbase$;
