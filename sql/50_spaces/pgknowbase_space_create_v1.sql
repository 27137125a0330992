-- Creates a pgai vectorizer over the documents with its chunk store, and records it as an embedding space, not yet
-- active. Existing documents are queued as backfill: fresh ones are taken before them.
-- splitter: see pgknowbase_chunking_v1. index: see pgknowbase_index_column_v1. storage: 'vector' or 'halfvec', the type
-- of the vectors in the store; pgai's own worker cannot write the latter. embedding: the entry of EMBEDDINGS that makes
-- its vectors.
-- indexed: with a vector index from the start; a store that is to be filled gets it faster afterwards.
CREATE OR REPLACE FUNCTION pgknowbase_space_create_v1(
    space_name text, backend text, model text, dimensions integer, chunk_size integer, chunk_overlap integer,
    template text, splitter text DEFAULT 'recursive', index text DEFAULT 'halfvec', storage text DEFAULT 'vector',
    embedding text DEFAULT 'default', indexed boolean DEFAULT true)
RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER SET search_path FROM CURRENT
AS $pgknowbase$
DECLARE
    _schema CONSTANT name := (
        SELECT n.nspname FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
        WHERE c.oid = 'pgknowbase_document'::regclass);
    _space bigint := nextval(pg_get_serial_sequence('pgknowbase_space', 'id'));
    _table CONSTANT name := 'pgknowbase_store_' || _space;
    _name text := 'pgknowbase_' || space_name;
    _vectorizer integer;
    _queue record;
    _view text;
BEGIN
    -- pgai's names are those of the whole database, and an index may stand in each of its schemas.
    IF _name !~ '^[a-z][a-z_0-9]*$' OR EXISTS (SELECT 1 FROM ai.vectorizer AS v WHERE v.name = _name) THEN
        _name := left('pgknowbase_' || regexp_replace(lower(_schema || '_' || space_name), '[^a-z0-9_]', '_', 'g'), 54)
            || '_' || left(md5(_schema || '.' || space_name), 8);
    END IF;
    _vectorizer := ai.create_vectorizer(
        'pgknowbase_document'::regclass,
        name => _name::name,
        loading => ai.loading_column('content'),
        destination => ai.destination_table(
            target_schema => _schema, target_table => _table, view_schema => _schema, view_name => _table || '_view'),
        embedding => ai.embedding_openai(model, dimensions),
        chunking => pgknowbase_chunking_v1(splitter, chunk_size, chunk_overlap),
        formatting => ai.formatting_python_template(template),
        indexing => ai.indexing_none(),
        scheduling => ai.scheduling_none(),
        processing => ai.processing_default(batch_size => 200, concurrency => 1),
        enqueue_existing => false);
    IF storage = 'halfvec' THEN
        -- pgai's view reads the column, so it goes and comes back.
        _view := pg_get_viewdef(format('%I.%I', _schema, _table || '_view')::regclass);
        EXECUTE format('DROP VIEW %I.%I', _schema, _table || '_view');
        EXECUTE format(
            'ALTER TABLE %I.%I ALTER COLUMN embedding TYPE halfvec(%s), ALTER COLUMN embedding SET STORAGE MAIN',
            _schema, _table, dimensions);
        EXECUTE format('CREATE VIEW %I.%I AS %s', _schema, _table || '_view', _view);
    END IF;
    EXECUTE format($sql$
        ALTER TABLE %1$I.%2$I ADD COLUMN tokens integer, ADD COLUMN reusable boolean NOT NULL DEFAULT true,
            ADD COLUMN is_copy boolean NOT NULL DEFAULT false,
            ADD COLUMN vector_key uuid NOT NULL
                GENERATED ALWAYS AS (%1$I.pgknowbase_vector_key(source, embedding::halfvec)) STORED;
        CREATE INDEX %3$I ON %1$I.%2$I (vector_key) WHERE NOT is_copy;
        CREATE INDEX %4$I ON %1$I.%2$I (vector_key) WHERE is_copy;
        CREATE TRIGGER pgknowbase_mark_copy BEFORE INSERT OR UPDATE OF source, embedding ON %1$I.%2$I
            FOR EACH ROW EXECUTE FUNCTION %1$I.pgknowbase_mark_copy();
        CREATE TRIGGER pgknowbase_promote_after_delete AFTER DELETE ON %1$I.%2$I
            FOR EACH ROW WHEN (NOT OLD.is_copy) EXECUTE FUNCTION %1$I.pgknowbase_promote_copy();
        CREATE TRIGGER pgknowbase_promote_after_update AFTER UPDATE OF source, embedding ON %1$I.%2$I
            FOR EACH ROW WHEN (NOT OLD.is_copy AND OLD.vector_key <> NEW.vector_key)
            EXECUTE FUNCTION %1$I.pgknowbase_promote_copy();
        $sql$, _schema, _table, _table || '_vectors', _table || '_copies');
    PERFORM pgknowbase_keep_beside(_schema, _table);
    -- By which a text that has its vector already is found. Eight bytes instead of the text, and it need not be unique.
    EXECUTE format(
        'CREATE INDEX %I ON %I.%I (hashtextextended(chunk, 0))', _table || '_text', _schema, _table);
    IF indexed THEN
        EXECUTE format(
            'CREATE INDEX %I ON %I.%I USING hnsw (%s) WITH (m = 16, ef_construction = 200) WHERE NOT is_copy',
            _table || '_hnsw', _schema, _table, pgknowbase_index_column_v1(index, dimensions));
    END IF;
    SELECT v.queue_schema, v.queue_table INTO STRICT _queue FROM ai.vectorizer AS v WHERE v.id = _vectorizer;
    EXECUTE format(
        'CREATE INDEX %I ON %I.%I ((coalesce(loading_retry_after, ''-infinity'')), queued_at)',
        _queue.queue_table || '_due', _queue.queue_schema, _queue.queue_table);
    -- pgai's trigger leaves this column out. A moment that has long passed is due for pgai's worker as for ours, and
    -- ours takes what has none before it.
    EXECUTE format($sql$
        ALTER TABLE %1$I.%2$I ALTER COLUMN loading_retry_after
            SET DEFAULT CASE WHEN current_setting('pgknowbase.backfill', true) = 'on' THEN timestamptz 'epoch' END
        $sql$, _queue.queue_schema, _queue.queue_table);
    -- What an item is stays with it while its time changes with leases and retries.
    EXECUTE format($sql$
        ALTER TABLE %1$I.%2$I ADD COLUMN backfill boolean NOT NULL
            DEFAULT coalesce(current_setting('pgknowbase.backfill', true) = 'on', false)
        $sql$, _queue.queue_schema, _queue.queue_table);
    EXECUTE format(
        'INSERT INTO %I.%I (source, id, loading_retry_after, backfill)
         SELECT source, id, ''epoch'', true FROM pgknowbase_document',
        _queue.queue_schema, _queue.queue_table);
    INSERT INTO pgknowbase_space (
        id, name, backend, model, dimensions, chunk_size, chunk_overlap, template, splitter, index, storage, embedding,
        vectorizer_id, store_schema, store_table, is_active)
    VALUES (_space, space_name, backend, model, dimensions, chunk_size, chunk_overlap, template, splitter, index,
        storage, embedding, _vectorizer, _schema, _table, false);
    RETURN _space;
END
$pgknowbase$;
