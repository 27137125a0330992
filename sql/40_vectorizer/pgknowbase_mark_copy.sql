-- Trigger of a chunk store, before a row comes or gets another vector: is the row a copy? It is one if another row of its
-- source with the same vector, their representative, is in the vector index, which leaves copies out: many elements of one
-- vector in a graph have no neighbours but each other, and hide all others.
--
-- The representative is locked, so that it stays until this transaction ends. One that cannot be locked at once may be about
-- to go, and one of a transaction that runs beside this one is not seen: then the vector has two representatives, which
-- harms nothing. So no writer waits here. The table is named by EXECUTE, as each space has its own.
--
-- enable_seqscan, jit: as in pgknowbase_store_open_v1.
CREATE OR REPLACE FUNCTION pgknowbase_mark_copy() RETURNS trigger
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER SET search_path FROM CURRENT SET enable_seqscan = off
SET jit = off
AS $pgknowbase$
DECLARE
    _representative uuid;
BEGIN
    EXECUTE format(
        'SELECT c.embedding_uuid FROM %s AS c WHERE c.vector_key = $1 AND NOT c.is_copy AND c.embedding_uuid <> $2
         LIMIT 1 FOR KEY SHARE SKIP LOCKED', TG_RELID::regclass)
    INTO _representative USING pgknowbase_vector_key(NEW.source, NEW.embedding::halfvec), NEW.embedding_uuid;
    NEW.is_copy := _representative IS NOT NULL;
    RETURN NEW;
END
$pgknowbase$;
