-- When each caller of the API will have used up nothing of what it is allowed: the theoretical arrival time of the
-- generic cell rate algorithm. Not logged: nothing is lost with it but a few seconds of somebody's patience.
CREATE TABLE pgknowbase_throttle (
    bucket text PRIMARY KEY,
    free_at timestamptz NOT NULL
);
CREATE INDEX pgknowbase_throttle_free_at ON pgknowbase_throttle (free_at);
ALTER TABLE pgknowbase_throttle SET UNLOGGED;
