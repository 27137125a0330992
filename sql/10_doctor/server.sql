-- Where this session is, and what keeps triggers silent.
SELECT pg_is_in_recovery() AS is_standby, current_setting('session_replication_role') AS replication_role,
    quote_ident(current_user) AS role,
    ARRAY(
        SELECT 'ALTER ' || coalesce('ROLE ' || quote_ident(r.rolname), 'DATABASE ' || quote_ident(d.datname))
            || CASE WHEN r.oid IS NOT NULL AND d.oid IS NOT NULL THEN ' IN DATABASE ' || quote_ident(d.datname) ELSE '' END
            || ' RESET session_replication_role;'
        FROM pg_db_role_setting AS s
        LEFT JOIN pg_roles AS r ON r.oid = s.setrole
        LEFT JOIN pg_database AS d ON d.oid = s.setdatabase
        WHERE (s.setdatabase = 0 OR d.datname = current_database())
            AND EXISTS (SELECT 1 FROM unnest(s.setconfig) AS c (setting) WHERE c.setting = 'session_replication_role=replica')
    ) AS resets,
    ARRAY(
        SELECT c.relname::text FROM pg_subscription_rel AS r JOIN pg_class AS c ON c.oid = r.srrelid) AS replicated
