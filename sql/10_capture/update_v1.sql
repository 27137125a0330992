IF {rekeyed} THEN
        INSERT INTO pgknowbase_outbox (source, path, object_keys, op) VALUES ({source}, {path}, ARRAY[{new_key}, {old_key}], 'U');
    ELSE
        INSERT INTO pgknowbase_outbox (source, path, object_keys, op) VALUES ({source}, {path}, ARRAY[{new_key}], 'U');
    END IF;
