-- How many requests each caller of the API has made lately: in counts for the sixtieth of the rate's period that has the
-- number latest, counted from 1970, and for the 60 before it, the newest first. Not logged: nothing is lost with it but
-- what callers have used up in the last minutes.
CREATE TABLE pgknowbase_throttle (
    bucket text PRIMARY KEY,
    latest bigint NOT NULL,
    counts integer[] NOT NULL,
    -- From then on the row says nothing any more.
    free_at timestamptz NOT NULL
);
CREATE INDEX pgknowbase_throttle_free_at ON pgknowbase_throttle (free_at);
ALTER TABLE pgknowbase_throttle SET UNLOGGED;
