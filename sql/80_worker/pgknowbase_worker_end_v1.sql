-- Deletes the row of a worker that ends, and releases the documents that it still has on lease.
CREATE OR REPLACE FUNCTION pgknowbase_worker_end_v1(worker uuid) RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER SET search_path FROM CURRENT
AS $pgknowbase$
DECLARE
    _lease timestamptz;
BEGIN
    DELETE FROM pgknowbase_worker AS w WHERE w.id = worker RETURNING w.lease INTO _lease;
    DELETE FROM pgknowbase_in_flight AS f WHERE f.worker = pgknowbase_worker_end_v1.worker;
    RETURN CASE WHEN _lease IS NULL THEN 0 ELSE pgknowbase_lease_return(_lease) END;
END
$pgknowbase$;
