-- Whether the words of a document satisfy what pgknowbase_query_conditions made of a search text. Inlined where it is called:
-- hence no SET. Its names are resolved when it is created.
CREATE OR REPLACE FUNCTION pgknowbase_meets_conditions(
    words tsvector, language text, source integer, id text, conditions jsonb) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE SECURITY INVOKER
RETURN conditions IS NULL OR words IS NOT NULL AND coalesce(
    CASE WHEN conditions ? 'long' AND words @@ '^0'::tsquery
        THEN (words || coalesce(conditions -> 'found' ->> (source::text || ':' || id), '')::tsvector)
            @@ (conditions -> 'long' ->> language)::tsquery
        ELSE words @@ (conditions -> 'queries' ->> language)::tsquery END, true);
