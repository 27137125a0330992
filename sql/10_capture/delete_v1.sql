IF TG_LEVEL = 'ROW' THEN
        INSERT INTO pgknowbase_outbox (source, path, object_keys, op) SELECT {source}, {path}, ARRAY[{old_key}], 'D' WHERE {old_key} IS NOT NULL;
    ELSIF EXISTS (SELECT FROM old_rows OFFSET 1) THEN
        INSERT INTO pgknowbase_outbox (source, path, object_keys, op)
        SELECT {source}, {path}, array_agg(paged.key), 'D'
        FROM (
            SELECT changed.key, row_number() OVER () / {page_size} AS page
            FROM (SELECT {distinct} {old_rows_key} AS key FROM old_rows) AS changed WHERE changed.key IS NOT NULL
        ) AS paged
        GROUP BY paged.page ORDER BY paged.page;
    ELSE
        INSERT INTO pgknowbase_outbox (source, path, object_keys, op)
        SELECT {source}, {path}, ARRAY[{old_rows_key}], 'D' FROM old_rows WHERE {old_rows_key} IS NOT NULL;
    END IF;
