-- Per source model: what rendering a row costs, the slowest models first.
CREATE OR REPLACE VIEW pgknowbase_rendering_costs WITH (security_invoker = true) AS
SELECT r.source, r.rows,
    1000 * r.seconds / r.rows AS ms_per_row,
    r.statements::float8 / r.rows AS statements_per_row,
    r.slowest_hook, r.slowest_share, r.querying_hook, r.querying_statements, r.updated_at,
    r.unwatched
FROM pgknowbase_render AS r
ORDER BY ms_per_row DESC, r.source;
