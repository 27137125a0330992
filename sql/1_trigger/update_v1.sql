INSERT INTO pgknowbase_outbox (source, object_key, op) VALUES ({source}, {new_key}, 'U');
    IF {old_key} IS DISTINCT FROM {new_key} THEN
        INSERT INTO pgknowbase_outbox (source, object_key, op) VALUES ({source}, {old_key}, 'D');
    END IF;
