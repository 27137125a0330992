-- Removes what vectors_data.sql made.
--   psql DATABASE -f benchmarks/vectors_clean.sql
\set ON_ERROR_STOP on
\set QUIET on
SET client_min_messages = warning;
SELECT format('%I.%I', store_schema, store_table) AS store FROM pgknowbase_space WHERE is_active \gset
DELETE FROM :store WHERE source IN (SELECT id FROM django_content_type WHERE app_label = 'pgknowbase_benchmark');
DELETE FROM pgknowbase_externaldata
WHERE content_type_id IN (SELECT id FROM django_content_type WHERE app_label = 'pgknowbase_benchmark');
DELETE FROM django_content_type WHERE app_label = 'pgknowbase_benchmark';
DROP SCHEMA IF EXISTS pgknowbase_benchmark CASCADE;
