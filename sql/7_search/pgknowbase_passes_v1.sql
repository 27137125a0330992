-- Whether an object passes the filters of a search. Inlined where it is called, so that indexes serve it: hence no SET.
-- Its names are resolved when it is created.
--
--   sources         content type ids of the source models; NULL means all, as everywhere below
--   viewer          NULL: no restriction; '': public objects only; a user's id: public ones and those the user owns
--   metadata        the object's metadata must contain this
--   matching        the object's metadata must match this path predicate, such as '$.year >= 2020'
--   tags            the object must have all of these
--   changed_from    its entry in the index must have changed at this time or later
--   changed_before  its entry in the index must have changed before this time
CREATE OR REPLACE FUNCTION pgknowbase_passes_v1(
    e pgknowbase_externaldata, sources integer[], viewer text, metadata jsonb, matching jsonpath, tags text[],
    changed_from timestamptz, changed_before timestamptz) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE SECURITY INVOKER
RETURN e.is_active
    AND (sources IS NULL OR e.content_type_id = ANY (sources))
    AND (viewer IS NULL OR e.is_public OR e.owner_id::text = viewer)
    AND (metadata IS NULL OR e.metadata @> metadata)
    AND (matching IS NULL OR e.metadata @@ matching)
    AND (tags IS NULL OR e.tags @> tags)
    AND (changed_from IS NULL OR e.updated_at >= changed_from)
    AND (changed_before IS NULL OR e.updated_at < changed_before);
