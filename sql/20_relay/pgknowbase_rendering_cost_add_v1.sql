-- Adds what some renderings of one source model cost to its row of pgknowbase_render. Old figures fade: past 100,000
-- rows they are halved, so that a hook that has become slow soon shows.
CREATE OR REPLACE FUNCTION pgknowbase_rendering_cost_add_v1(
    source_label text, new_rows bigint, new_seconds float8, new_statements bigint,
    slowest text, share float8, querying text, per_row float8)
RETURNS void
LANGUAGE sql VOLATILE PARALLEL UNSAFE SECURITY INVOKER SET search_path FROM CURRENT
AS $pgknowbase$
    INSERT INTO pgknowbase_render AS r (
        source, rows, seconds, statements, slowest_hook, slowest_share, querying_hook, querying_statements)
    VALUES (source_label, new_rows, new_seconds, new_statements, slowest, share, querying, per_row)
    ON CONFLICT (source) DO UPDATE SET
        rows = excluded.rows + CASE WHEN r.rows > 100000 THEN r.rows / 2 ELSE r.rows END,
        seconds = excluded.seconds + CASE WHEN r.rows > 100000 THEN r.seconds / 2 ELSE r.seconds END,
        statements = excluded.statements + CASE WHEN r.rows > 100000 THEN r.statements / 2 ELSE r.statements END,
        slowest_hook = excluded.slowest_hook, slowest_share = excluded.slowest_share,
        querying_hook = excluded.querying_hook, querying_statements = excluded.querying_statements,
        updated_at = statement_timestamp()
$pgknowbase$;
