-- Removes what vectors_data.sql made.
--   psql DATABASE -f benchmarks/vectors_clean.sql
\set ON_ERROR_STOP on
\set QUIET on
SET client_min_messages = warning;
SELECT format('%I.%I', store_schema, store_table) AS store FROM pgknowbase_space WHERE is_active \gset
SELECT coalesce(array_agg(id), '{}') AS sources FROM django_content_type WHERE app_label = 'pgknowbase_benchmark' \gset
DELETE FROM :store WHERE source = ANY (:'sources');
DELETE FROM pgknowbase_document WHERE source = ANY (:'sources');
DELETE FROM pgknowbase_externaldata WHERE content_type_id = ANY (:'sources');
DELETE FROM django_content_type WHERE id = ANY (:'sources');
DROP SCHEMA IF EXISTS pgknowbase_benchmark CASCADE;
-- What is gone takes no room, if it was big, so that sizes measured next are those of the rows alone.
SELECT format('VACUUM FULL %s', relation) FROM unnest(ARRAY[
    :'store', 'pgknowbase_document', 'pgknowbase_keywords', 'pgknowbase_externaldata']) AS relation
WHERE cardinality(:'sources'::integer[]) > 0 \gexec
