INSERT INTO pgknowbase_outbox (source, object_key, op) SELECT {source}, {old_rows_key}, 'D' FROM old_rows;
