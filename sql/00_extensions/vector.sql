-- Asked for first: with Citus only the owner of an extension may create it where it is there already.
DO $pgknowbase$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_extension AS x WHERE x.extname = 'vector') THEN
        CREATE EXTENSION IF NOT EXISTS vector;
    END IF;
END
$pgknowbase$;
