-- The vectors of an object's chunks, beside the columns that searches filter by, and the space that they are of. Neither is a
-- field of the model: Django does not read them.
ALTER TABLE pgknowbase_externaldata ADD COLUMN vectors halfvec[], ADD COLUMN vectors_space bigint;
ALTER TABLE pgknowbase_externaldata ALTER COLUMN vectors SET STORAGE EXTERNAL;
