-- Distributes the store of a space over the servers of a Citus cluster, by the ids of its documents; or, with distributed
-- false, brings it back into one table. The chunks are copied into a new table, which then takes the place of the old one.
-- Workers wait for the store until that is done, searches for a moment at its end, and whoever writes rows for nothing.
--
--   shards   in how many parts; NULL: as citus.shard_count says
--
-- A shard has triggers and a vector index of its own: of a vector that is stored several times each shard that has it indexes
-- one (pgknowbase_mark_copy). Citus calls triggers unsafe because they may reach into other shards; these do not.
CREATE OR REPLACE FUNCTION pgknowbase_space_distribute_v1(
    space bigint, distributed boolean DEFAULT true, shards integer DEFAULT NULL) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER SET search_path FROM CURRENT
AS $pgknowbase$
DECLARE
    _columns CONSTANT text := 'embedding_uuid, source, id, chunk_seq, chunk, embedding, tokens, reusable';
    _triggers CONSTANT text := '^pgknowbase_(mark|promote)_'; -- those that keep vectors beside the external data reach out of a shard
    _space pgknowbase_space;
    _old text;
    _new text;
    _view text;
    _next record;
    _late boolean;
    _made text[] := '{}';
    _name text;
    _distributed CONSTANT boolean := pgknowbase_space_distribute_v1.distributed;
BEGIN
    LOCK TABLE pgknowbase_space IN SHARE ROW EXCLUSIVE MODE;
    SELECT s.* INTO STRICT _space FROM pgknowbase_space AS s WHERE s.id = space;
    IF _space.distributed = _distributed THEN
        RETURN;
    ELSIF _space.index = 'binary' THEN
        RAISE EXCEPTION 'the space % has a binary index, which a distributed store cannot have', quote_literal(_space.name)
            USING ERRCODE = 'feature_not_supported', HINT = 'Use the index halfvec.';
    ELSIF NOT EXISTS (SELECT FROM pg_extension AS x WHERE x.extname = 'citus') THEN
        RAISE EXCEPTION 'the database % has no extension citus', quote_literal(current_database())
            USING ERRCODE = 'undefined_object', HINT = 'Create it, and add the other servers by citus_add_node().';
    END IF;
    _old := format('%I.%I', _space.store_schema, _space.store_table);
    _new := format('%I.%I', _space.store_schema, _space.store_table || '_');
    _view := format('%I.%I', _space.store_schema, _space.store_table || '_view');
    EXECUTE format('LOCK TABLE %s IN SHARE ROW EXCLUSIVE MODE', _old);
    EXECUTE format('CREATE TABLE %s (LIKE %s INCLUDING DEFAULTS INCLUDING GENERATED INCLUDING STORAGE)', _new, _old);
    IF _distributed THEN
        -- Functions that were there before the extension are unknown to the other servers.
        PERFORM create_distributed_function(t.tgfoid)
        FROM (SELECT DISTINCT g.tgfoid FROM pg_trigger AS g WHERE g.tgrelid = _old::regclass AND g.tgname ~ _triggers) AS t;
        PERFORM create_distributed_table(_new::regclass, 'id', shard_count => shards, colocate_with => 'none');
        SET LOCAL citus.enable_unsafe_triggers = on;
    END IF;
    -- The triggers find copies by the other indexes; a vector index is built in a fraction of the time afterwards.
    FOREACH _late IN ARRAY ARRAY[false, true] LOOP
        FOR _next IN
            SELECT c.relname AS name, substring(pg_get_indexdef(i.indexrelid) FROM ' (USING .*)$') AS definition,
                c.relname = _space.store_table || '_pkey' AS is_key, i.indisunique
            FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid JOIN pg_am AS a ON a.oid = c.relam
            WHERE i.indrelid = _old::regclass AND i.indisvalid AND (a.amname = 'hnsw') = _late
        LOOP
            -- What is unique in a distributed table has the column by which it is distributed.
            EXECUTE format('CREATE %s INDEX %I ON %s %s', CASE
                    WHEN _next.is_key AND _distributed OR NOT _next.is_key AND NOT _next.indisunique THEN '' ELSE 'UNIQUE' END,
                _next.name || '_', _new, _next.definition);
            IF _next.is_key AND NOT _distributed THEN
                EXECUTE format('ALTER TABLE %1$s ADD CONSTRAINT %2$I PRIMARY KEY USING INDEX %2$I', _new, _next.name || '_');
            END IF;
            _made := _made || _next.name;
        END LOOP;
        CONTINUE WHEN _late;
        FOR _next IN
            SELECT pg_get_triggerdef(t.oid) AS definition FROM pg_trigger AS t
            WHERE t.tgrelid = _old::regclass AND t.tgname ~ _triggers
        LOOP
            EXECUTE replace(_next.definition, format(' ON %s FOR ', _old), format(' ON %s FOR ', _new));
        END LOOP;
        EXECUTE format('INSERT INTO %1$s (%2$s) SELECT %2$s FROM %3$s', _new, _columns, _old);
    END LOOP;
    EXECUTE format('ANALYZE %s', _new);
    PERFORM pgknowbase_copy_grants(_old, _new);
    -- From here on searches wait, and before that nobody for them: the lock is asked for again and again, and first that of the
    -- view, as they do.
    LOOP
        BEGIN
            SET LOCAL lock_timeout = '200ms';
            EXECUTE format('LOCK TABLE %s IN ACCESS EXCLUSIVE MODE', CASE
                WHEN _space.is_active THEN format('%I.pgknowbase_chunk', _space.store_schema) ELSE _old END);
            EXIT;
        EXCEPTION WHEN lock_not_available THEN
            PERFORM pg_sleep(0.1);
        END;
    END LOOP;
    SET LOCAL lock_timeout = 0;
    SET LOCAL citus.enable_ddl_propagation = off; -- the views are needed here alone
    EXECUTE format('CREATE OR REPLACE VIEW %s AS %s', _view, replace(
        pg_get_viewdef(_view::regclass), format('%I t', _space.store_table), format('%I t', _space.store_table || '_')));
    IF _space.is_active THEN
        UPDATE pgknowbase_space AS s SET store_table = s.store_table || '_' WHERE s.id = space;
        PERFORM pgknowbase_space_activate_v1(space);
    END IF;
    SET LOCAL citus.enable_ddl_propagation = on;
    EXECUTE format('DROP TABLE %s', _old);
    EXECUTE format('ALTER TABLE %s RENAME TO %I', _new, _space.store_table);
    FOREACH _name IN ARRAY _made LOOP
        EXECUTE format('ALTER INDEX %I.%I RENAME TO %I', _space.store_schema, _name || '_', _name);
    END LOOP;
    UPDATE pgknowbase_space AS s
    SET distributed = _distributed, store_table = _space.store_table WHERE s.id = space;
    IF _distributed THEN
        UPDATE pgknowbase_externaldata AS e SET vectors = NULL, vectors_space = NULL WHERE e.vectors_space = space;
    ELSE
        PERFORM pgknowbase_keep_beside(_space.store_schema, _space.store_table);
    END IF;
END
$pgknowbase$;
