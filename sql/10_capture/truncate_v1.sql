INSERT INTO pgknowbase_outbox (source, path, object_keys, op) VALUES ({source}, {path}, NULL, 'T');
