-- What stands for the store of a space in a statement that reads the chunks of some documents: its table, which is joined
-- with others as usual; or, where it is distributed, a call that fetches them, since Citus joins no distributed table with
-- a local one. sources, ids: the parameters that name the documents, and maybe others, such as '$1' and '$2'.
-- requires: pgknowbase_store_rows
CREATE OR REPLACE FUNCTION pgknowbase_store_reader(space pgknowbase_space, sources text, ids text) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE SECURITY INVOKER SET search_path FROM CURRENT
RETURN CASE WHEN (space).distributed
    THEN format('pgknowbase_store_rows(%L, %s, %s)', format('%I.%I', (space).store_schema, (space).store_table), sources, ids)
    ELSE format('%I.%I', (space).store_schema, (space).store_table) END;
