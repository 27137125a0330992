-- Brings a pgai vectorizer up to date whose triggers are enabled again, and gives it back to pgai's worker: rows that were
-- written since it was retired go into its queue, chunks of rows that are gone leave its store. Returns how many of each.
-- What a row was written by tells when. Its number has 32 bits, which stand for the latest transaction that they can. One
-- that was open when the vectorizer was retired counts as later, and so does everything after a restore from a dump.
CREATE OR REPLACE FUNCTION pgknowbase_pgai_requeue_v1(vectorizer integer)
RETURNS TABLE (queued bigint, removed bigint)
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER SET search_path FROM CURRENT
AS $pgknowbase$
DECLARE
    _vectorizer record;
    _destination jsonb;
    _columns text;
    _now CONSTANT bigint := pg_snapshot_xmax(pg_current_snapshot())::text::bigint;
    _since bigint;
BEGIN
    SELECT v.* INTO STRICT _vectorizer FROM ai.vectorizer AS v WHERE v.id = vectorizer FOR UPDATE;
    _destination := _vectorizer.config -> 'destination';
    _since := (_vectorizer.config -> 'pgknowbase' ->> 'since')::bigint;
    IF _since > _now THEN
        _since := 0;
    END IF;
    SELECT string_agg(quote_ident(a.attname), ', ') INTO _columns
    FROM jsonb_to_recordset(_vectorizer.source_pk) AS a (attname name);
    EXECUTE format($sql$
        INSERT INTO %1$I.%2$I (%3$s)
        SELECT %3$s FROM %4$I.%5$I AS s
        WHERE $1 - (($1 - s.xmin::text::bigint) & 4294967295) >= $2
            AND NOT EXISTS (SELECT 1 FROM %1$I.%2$I AS q WHERE %6$s)
        $sql$, _vectorizer.queue_schema, _vectorizer.queue_table, _columns, _vectorizer.source_schema,
        _vectorizer.source_table, pgknowbase_pgai_join(_vectorizer.source_pk, 'q', 's')) USING _now, _since;
    GET DIAGNOSTICS queued = ROW_COUNT;
    removed := 0;
    IF _destination ->> 'implementation' = 'table' THEN
        EXECUTE format($sql$
            DELETE FROM %1$I.%2$I AS t WHERE NOT EXISTS (SELECT 1 FROM %3$I.%4$I AS s WHERE %5$s)
            $sql$, _destination ->> 'target_schema', _destination ->> 'target_table', _vectorizer.source_schema,
            _vectorizer.source_table, pgknowbase_pgai_join(_vectorizer.source_pk, 't', 's'));
        GET DIAGNOSTICS removed = ROW_COUNT;
    END IF;
    UPDATE ai.vectorizer AS v SET config = v.config - 'pgknowbase' WHERE v.id = vectorizer;
    IF NOT coalesce((_vectorizer.config -> 'pgknowbase' ->> 'was_disabled')::boolean, false) THEN
        PERFORM ai.enable_vectorizer_schedule(vectorizer);
    END IF;
    RETURN NEXT;
END
$pgknowbase$;
