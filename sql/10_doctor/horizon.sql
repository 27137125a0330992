-- Who keeps VACUUM from removing dead rows: sessions, prepared transactions, and replication slots that nobody reads.
SELECT 'session' AS kind, a.pid::text AS name,
    a.usename || coalesce(' (' || nullif(a.application_name, '') || ')', '') || ', ' || a.state AS who,
    extract(epoch FROM clock_timestamp() - a.xact_start)::float8 AS seconds
FROM pg_stat_activity AS a
WHERE (a.backend_xmin IS NOT NULL OR a.backend_xid IS NOT NULL) AND a.pid <> pg_backend_pid()
    AND a.backend_type = 'client backend' AND a.datname = current_database() AND a.xact_start IS NOT NULL
UNION ALL
SELECT 'prepared', p.gid, p.owner, extract(epoch FROM clock_timestamp() - p.prepared)::float8
FROM pg_prepared_xacts AS p WHERE p.database = current_database()
UNION ALL
SELECT 'slot', s.slot_name, coalesce(s.plugin, s.slot_type), NULL
FROM pg_replication_slots AS s WHERE NOT s.active AND (s.xmin IS NOT NULL OR s.catalog_xmin IS NOT NULL)
ORDER BY seconds DESC NULLS FIRST
