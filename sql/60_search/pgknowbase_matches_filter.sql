-- Whether an object is active and passes the filter of a search, whose threshold is not asked of it here.
--
-- It is inlined where it is called, so that indexes serve its conditions: hence no SET, and nothing volatile in it. Its names
-- are resolved when it is created. In a query that is planned with the filter's value, fields that are NULL cost nothing; in
-- one with a generic plan each costs a test for each object.
-- requires: pgknowbase_object_meets_conditions
CREATE OR REPLACE FUNCTION pgknowbase_matches_filter(e pgknowbase_externaldata, filter pgknowbase_filter) RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE SECURITY INVOKER
RETURN e.is_active
    AND ((filter).sources IS NULL OR e.content_type_id = ANY ((filter).sources))
    AND ((filter).visible_to IS NULL OR e.is_public OR e.owner_id::text = (filter).visible_to)
    AND ((filter).metadata IS NULL OR e.metadata @> (filter).metadata)
    AND ((filter).matching IS NULL OR e.metadata @@ (filter).matching)
    AND ((filter).tags IS NULL OR e.tags @> (filter).tags)
    AND ((filter).changed_from IS NULL OR e.updated_at >= (filter).changed_from)
    AND ((filter).changed_before IS NULL OR e.updated_at < (filter).changed_before)
    AND ((filter).object_keys IS NULL OR e.object_key = ANY ((filter).object_keys))
    AND ((filter).external_data_ids IS NULL OR e.id = ANY ((filter).external_data_ids))
    AND ((filter).conditions IS NULL OR pgknowbase_object_meets_conditions(e.content_type_id, e.object_key, (filter).conditions));
