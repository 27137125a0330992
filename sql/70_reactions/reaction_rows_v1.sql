IF TG_LEVEL = 'ROW' THEN
        INSERT INTO pgknowbase_reaction_event (reaction, object_keys, op, chain)
        VALUES ({reaction}, ARRAY[{row_key}], '{op}', coalesce(current_setting('pgknowbase.reaction', true), ''));
    ELSIF EXISTS (SELECT FROM {rows} OFFSET 1) THEN
        INSERT INTO pgknowbase_reaction_event (reaction, object_keys, op, chain)
        SELECT {reaction}, array_agg(paged.key), '{op}', coalesce(current_setting('pgknowbase.reaction', true), '')
        FROM (SELECT {rows_key} AS key, row_number() OVER () / {page_size} AS page FROM {rows}) AS paged
        GROUP BY paged.page ORDER BY paged.page;
    ELSE
        INSERT INTO pgknowbase_reaction_event (reaction, object_keys, op, chain)
        SELECT {reaction}, ARRAY[{rows_key}], '{op}', coalesce(current_setting('pgknowbase.reaction', true), '') FROM {rows};
    END IF;
