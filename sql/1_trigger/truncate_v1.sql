INSERT INTO pgknowbase_outbox (source, object_key, op) VALUES ({source}, NULL, 'T');
