-- Between which values of ts_rank, times pi^2/6, a word stands once, twice and so on, up to 200 times: ts_rank of one word is the
-- sum of 1/n^2 up to the times that it stands there. As a function, the planner works it out once for a session.
CREATE OR REPLACE FUNCTION pgknowbase_rank_steps() RETURNS float8[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE SECURITY INVOKER SET search_path FROM CURRENT
AS $pgknowbase$
    SELECT array_agg(s.sum - 0.5 / (s.n * s.n))
    FROM (SELECT n, sum(1.0 / (n * n)) OVER (ORDER BY n) AS sum FROM generate_series(1, 200) AS n) AS s
$pgknowbase$;
