-- Takes away what vectors_v1.sql has added.
ALTER TABLE pgknowbase_externaldata DROP COLUMN IF EXISTS vectors, DROP COLUMN IF EXISTS vectors_space;
