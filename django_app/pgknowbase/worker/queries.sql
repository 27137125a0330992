-- Statements that Python runs; core/queries.sql says how they are written.

-- worker_heartbeat --
SELECT pgknowbase_worker_heartbeat_v1(
    %(worker)s, %(host)s, %(pid)s, %(role)s, %(uptime)s, %(events)s, %(documents)s, %(failed)s, %(heartbeat_timeout)s)

-- connection_limits --
-- How many connections role and database allow; null: any number. Superusers are not limited.
SELECT nullif(r.rolconnlimit, -1), nullif(d.datconnlimit, -1)
FROM pg_roles AS r, pg_database AS d
WHERE r.rolname = session_user AND d.datname = current_database() AND NOT r.rolsuper
UNION ALL
SELECT NULL, NULL
LIMIT 1

-- worker_end --
SELECT pgknowbase_worker_end_v1(%(worker)s)
