-- Trigger of a chunk store, before a row comes or gets another vector: is the row a copy? It is one if another row of its
-- source with the same vector, their representative, is in the vector index, which leaves copies out: many elements of one
-- vector in a graph have no neighbours but each other, and hide all others.
--
-- The representative is locked, so that it stays until this transaction ends. One that cannot be locked at once may be about
-- to go, and one of a transaction that runs beside this one is not seen: then the vector has two representatives, which
-- harms nothing. So no writer waits here. The table is named by EXECUTE, as each space has its own, and a statement that
-- is planned for each row takes five times as long as one whose plan is kept. So a new vector of the active store, the usual
-- case, is looked for through the view of that store. A shard on another server of a cluster, where there is none, is told by
-- its longer name.
--
-- enable_seqscan, jit: as in pgknowbase_store_open_v1.
CREATE OR REPLACE FUNCTION pgknowbase_mark_copy() RETURNS trigger
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER SET search_path FROM CURRENT SET enable_seqscan = off
SET jit = off
AS $pgknowbase$
DECLARE
    _key CONSTANT uuid := pgknowbase_vector_key(NEW.source, NEW.embedding::halfvec);
    _representative uuid;
BEGIN
    IF TG_OP = 'INSERT' AND TG_TABLE_NAME ~ '^pgknowbase_store_[0-9]+$' THEN
        IF TG_TABLE_NAME = (SELECT s.store_table FROM pgknowbase_space AS s WHERE s.is_active)
            AND NOT EXISTS (SELECT FROM pgknowbase_chunk AS c WHERE c.vector_key = _key AND NOT c.is_copy) THEN
            NEW.is_copy := false;
            RETURN NEW;
        END IF;
    END IF;
    EXECUTE format(
        'SELECT c.embedding_uuid FROM %s AS c WHERE c.vector_key = $1 AND NOT c.is_copy AND c.embedding_uuid <> $2
         LIMIT 1 FOR KEY SHARE SKIP LOCKED', TG_RELID::regclass)
    INTO _representative USING _key, NEW.embedding_uuid;
    NEW.is_copy := _representative IS NOT NULL;
    RETURN NEW;
END
$pgknowbase$;
