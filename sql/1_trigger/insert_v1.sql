INSERT INTO pgknowbase_outbox (source, object_key, op) SELECT {source}, {new_rows_key}, 'I' FROM new_rows;
