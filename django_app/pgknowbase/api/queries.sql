-- Statements that Python runs; core/queries.sql says how they are written.

-- throttle --
SELECT pgknowbase_throttle_v1(%(caller)s, %(max_requests)s, %(period)s)
