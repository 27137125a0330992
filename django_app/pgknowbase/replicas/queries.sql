-- Statements that Python runs; core/queries.sql says how they are written.

-- server_position --
-- What this server is, and how far it is: as a standby what it has replayed, as a primary what it has written.
-- timeline: of a primary its own; of a standby the one it receives, null where it receives nothing or the role may not
-- know (pg_read_all_stats). started_on: the timeline of its last checkpoint, which may be an older one.
SELECT c.system_identifier::text AS system, r.standby,
       CASE WHEN r.standby THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_insert_lsn() END::text AS lsn,
       CASE
           WHEN r.standby THEN (SELECT w.received_tli FROM pg_stat_get_wal_receiver() AS w)
           ELSE ('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::int
       END AS timeline,
       k.timeline_id AS started_on
FROM pg_control_system() AS c
CROSS JOIN pg_control_checkpoint() AS k
CROSS JOIN (SELECT pg_is_in_recovery() OFFSET 0) AS r (standby)

-- written_position --
-- What this primary has written: the position that a standby must have replayed to show it. At the start of a page
-- pg_current_wal_insert_lsn() is behind the header of that page, which nothing is replayed up to before the next record.
SELECT c.system_identifier::text AS system, ('x' || left(pg_walfile_name(w.lsn), 8))::bit(32)::int AS timeline,
       (CASE
           WHEN w.in_segment = 40 THEN w.lsn - 40
           WHEN w.in_segment >= w.page AND mod(w.in_segment, w.page) = 24 THEN w.lsn - 24
           ELSE w.lsn
       END)::text AS lsn
FROM pg_control_system() AS c
CROSS JOIN LATERAL (
    SELECT l.lsn, current_setting('wal_block_size')::numeric AS page,
           mod(l.lsn - '0/0'::pg_lsn, pg_size_bytes(current_setting('wal_segment_size'))) AS in_segment
    FROM (SELECT pg_current_wal_insert_lsn() OFFSET 0) AS l (lsn)
) AS w

-- is_standby --
SELECT pg_is_in_recovery()

-- written_objects --
-- Those of these objects that are not in the index as they are, with their changes; indirect: some are to become others.
SELECT o.label, o.key, s.events, coalesce(s.indirect, false)
FROM jsonb_to_recordset(%(objects)s::jsonb) AS o (source int, label text, key text)
CROSS JOIN LATERAL pgknowbase_object_state_v1(o.source, o.label, o.key, NULL) AS s
WHERE s.events IS NOT NULL OR s.status <> 'completed'
    OR EXISTS (SELECT 1 FROM pgknowbase_keywords AS k WHERE k.source = o.source AND k.id = o.key AND k.stale)

-- have_indexed --
-- Whether the committed state of all these objects is in the index of this server, with its words, or out of it as their
-- hooks say. known: the events of each that are waited for; null: all that it has.
SELECT coalesce(bool_and(
    s.events IS NULL AND (s.status IS NULL OR s.status = 'completed')
    AND NOT EXISTS (SELECT 1 FROM pgknowbase_keywords AS k WHERE k.source = o.source AND k.id = o.key AND k.stale)
), true)
FROM jsonb_to_recordset(%(objects)s::jsonb) AS o (source int, label text, key text, known bigint[])
CROSS JOIN LATERAL pgknowbase_object_state_v1(o.source, o.label, o.key, o.known) AS s
