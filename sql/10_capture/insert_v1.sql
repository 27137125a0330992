IF TG_LEVEL = 'ROW' THEN
        INSERT INTO pgknowbase_outbox (source, path, object_keys, op) SELECT {source}, {path}, ARRAY[{new_key}], 'I' WHERE {new_key} IS NOT NULL;
    ELSIF EXISTS (SELECT FROM new_rows OFFSET 1) THEN
        INSERT INTO pgknowbase_outbox (source, path, object_keys, op)
        SELECT {source}, {path}, array_agg(paged.key), 'I'
        FROM (
            SELECT changed.key, row_number() OVER () / {page_size} AS page
            FROM (SELECT {distinct} {new_rows_key} AS key FROM new_rows) AS changed WHERE changed.key IS NOT NULL
        ) AS paged
        GROUP BY paged.page ORDER BY paged.page;
    ELSE
        INSERT INTO pgknowbase_outbox (source, path, object_keys, op)
        SELECT {source}, {path}, ARRAY[{new_rows_key}], 'I' FROM new_rows WHERE {new_rows_key} IS NOT NULL;
    END IF;
