-- The condition under which two rows have the same primary key of a pgai vectorizer's source table. source_pk: as pgai's
-- catalog has it. one, other: aliases.
CREATE OR REPLACE FUNCTION pgknowbase_pgai_join(source_pk jsonb, one text, other text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE SECURITY INVOKER SET search_path FROM CURRENT
AS $pgknowbase$
SELECT string_agg(format('%2$s.%1$I = %3$s.%1$I', a.attname, one, other), ' AND ' ORDER BY a.pknum)
FROM jsonb_to_recordset(source_pk) AS a (attname name, pknum integer)
$pgknowbase$;
