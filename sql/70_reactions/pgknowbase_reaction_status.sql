-- Per reaction: changes not yet taken, runs by state (failed: waiting for another try), since when the oldest waits,
-- and when the latest ended. All columns but reaction and the two moments are plain numbers, for exporters.
CREATE OR REPLACE VIEW pgknowbase_reaction_status WITH (security_invoker = true) AS
SELECT coalesce(d.reaction, e.reaction) AS reaction,
    coalesce(e.changes, 0) AS changes,
    coalesce(d.pending, 0) AS pending,
    coalesce(d.running, 0) AS running,
    coalesce(d.failed, 0) AS failed,
    coalesce(d.dead, 0) AS dead,
    coalesce(d.done, 0) AS done,
    coalesce(d.cancelled, 0) AS cancelled,
    least(e.oldest, d.oldest) AS oldest_pending,
    d.last_finished
FROM (
    SELECT reaction,
        count(*) FILTER (WHERE state = 'pending' AND error = '') AS pending,
        count(*) FILTER (WHERE state = 'running') AS running,
        count(*) FILTER (WHERE state = 'pending' AND error <> '') AS failed,
        count(*) FILTER (WHERE state = 'dead') AS dead,
        count(*) FILTER (WHERE state = 'done') AS done,
        count(*) FILTER (WHERE state = 'cancelled') AS cancelled,
        min(created_at) FILTER (WHERE state IN ('pending', 'running')) AS oldest,
        max(finished_at) FILTER (WHERE state = 'done') AS last_finished
    FROM pgknowbase_delivery GROUP BY reaction
) AS d
FULL JOIN (
    SELECT reaction, sum(cardinality(object_keys)) AS changes, min(created_at) AS oldest
    FROM pgknowbase_reaction_event GROUP BY reaction
) AS e ON e.reaction = d.reaction;
