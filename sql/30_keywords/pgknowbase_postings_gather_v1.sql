-- Puts documents that have no place in pgknowbase_postings yet into a block, once there are at_least of them, and returns how
-- many documents the block has; 0: there was nothing to be done, or another session is at it. Blocks before it that are not much
-- larger join it, up to 16,000 documents, so that there are few and each document is put into one a few times at most.
-- Otherwise it makes anew one block that lacks words which have become common, and not just so; or, where more than half of
-- all numbers are of documents that have changed or gone since, it drops a block without others, or has a worker give new
-- numbers to those of the emptiest.
-- requires: pgknowbase_number_lock, pgknowbase_word_refresh
CREATE OR REPLACE FUNCTION pgknowbase_postings_gather_v1(at_least integer DEFAULT 512) RETURNS integer
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER SET search_path FROM CURRENT SET enable_seqscan = off
SET jit = off SET plan_cache_mode = force_custom_plan SET work_mem = '64MB' SET max_parallel_workers_per_gather = 0
AS $pgknowbase$
DECLARE
    _is_distributed boolean;
    _most CONSTANT integer := 16000; -- what a vector can have
    _from bigint;
    _until bigint;
    _first bigint;
    _next record;
    _sample integer;
BEGIN
    PERFORM pgknowbase_word_refresh();
    SELECT max(w.sample) INTO _sample FROM pgknowbase_postings_word AS w;
    -- A snapshot of before would not see what others have committed.
    IF _sample IS NULL OR current_setting('transaction_isolation') <> 'read committed'
        OR NOT pg_try_advisory_xact_lock(hashtextextended('pgknowbase_postings', 0))
    THEN
        RETURN 0;
    END IF;
    -- Up to the number before those that are being given. In this order: who is not yet seen to hold the lock takes numbers
    -- beyond the last one.
    _until := coalesce(pg_sequence_last_value('pgknowbase_keywords_numbers'), 0);
    SELECT least(_until, min(((l.classid::bigint << 32) | l.objid::bigint) - pgknowbase_number_lock(0)) - 1) INTO _until
    FROM pg_locks AS l
    WHERE l.locktype = 'advisory' AND l.objsubid = 1 AND l.classid::bigint >> 16 = pgknowbase_number_lock(0) >> 48
        AND l.database = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())
        AND l.pid <> pg_backend_pid();
    SELECT coalesce(max(b.last) + 1, (SELECT min(k.number) FROM pgknowbase_keywords AS k)) INTO _from
    FROM pgknowbase_postings_block AS b;
    _is_distributed := to_regclass('pgknowbase_shard_keywords') IS NOT NULL; -- with the lock, or they could be gone by then
    IF _until - _from + 1 >= at_least THEN
        _until := least(_until, _from + _most - 1);
        _first := _from;
        FOR _next IN SELECT b.block, b.last FROM pgknowbase_postings_block AS b ORDER BY b.block DESC LOOP
            EXIT WHEN _until - _next.block >= _most OR _first - _next.block > 2 * (_until - _first + 1);
            _first := _next.block;
        END LOOP;
    ELSE
        SELECT b.block, b.last INTO _first, _until FROM pgknowbase_postings_block AS b
        WHERE b.sample < (
            SELECT max(w.sample) FROM pgknowbase_postings_word AS w
            WHERE w.weight < (SELECT max(o.weight) FROM pgknowbase_postings_word AS o) - 1.2)
        ORDER BY b.block LIMIT 1;
        IF _first IS NULL THEN
            IF (SELECT sum(b.last - b.block + 1) FROM pgknowbase_postings_block AS b)
                <= _most + 2 * (SELECT sum(c.documents) FROM pgknowbase_corpus AS c)
            THEN
                RETURN 0;
            END IF;
            SELECT b.block, b.last, n.documents INTO _next
            FROM pgknowbase_postings_block AS b
            CROSS JOIN LATERAL (
                SELECT count(*) AS documents FROM pgknowbase_keywords AS k WHERE k.number BETWEEN b.block AND b.last
            ) AS n
            ORDER BY n.documents::float8 / (b.last - b.block + 1), b.block LIMIT 1;
            IF _next.documents > 0 THEN
                UPDATE pgknowbase_keywords SET stale = true WHERE number BETWEEN _next.block AND _next.last AND NOT stale;
                RETURN 0;
            END IF;
            DELETE FROM pgknowbase_postings WHERE block = _next.block;
            DELETE FROM pgknowbase_postings_block WHERE block = _next.block;
            RETURN _next.last - _next.block + 1;
        END IF;
    END IF;
    DELETE FROM pgknowbase_postings AS p
    WHERE p.block IN (SELECT b.block FROM pgknowbase_postings_block AS b WHERE b.block BETWEEN _first AND _until);
    DELETE FROM pgknowbase_postings_block AS b WHERE b.block BETWEEN _first AND _until;
    INSERT INTO pgknowbase_postings_block (block, last, sample) VALUES (_first, _until, _sample);
    WITH average AS MATERIALIZED (
        SELECT c.source, sum(c.words)::float8 / nullif(sum(c.documents), 0) AS length FROM pgknowbase_corpus AS c
        GROUP BY c.source
    ), doc AS MATERIALIZED (
        SELECT k.number - _first + 1 AS place, k.source, k.words, k.frequent,
            1.2 * (0.25 + 0.75 * k.length / greatest(a.length, 1)) AS single
        FROM (
            SELECT w.number, w.source, w.words, w.frequent, w.length FROM pgknowbase_keywords AS w
            WHERE NOT _is_distributed AND w.number BETWEEN _first AND _until
            UNION ALL
            SELECT s.number, s.source, s.words, s.frequent, s.length
            FROM pgknowbase_read_shard_keywords(first => _first, last => _until) AS s WHERE _is_distributed
        ) AS k
        JOIN average AS a ON a.source = k.source
    ), posting AS (
        SELECT u.lexeme AS word, d.place || ':' || round(1000 * w.weight * 2.2 * t.times / (t.times + d.single))::integer AS impact
        FROM doc AS d
        CROSS JOIN LATERAL unnest(d.words) AS u
        JOIN pgknowbase_postings_word AS w ON w.word = u.lexeme
        CROSS JOIN LATERAL (
            SELECT coalesce((d.frequent ->> u.lexeme)::integer, cardinality(u.positions)) AS times
        ) AS t
        UNION ALL
        SELECT '^' || d.source, d.place || ':1048576' FROM doc AS d
    )
    INSERT INTO pgknowbase_postings (word, block, impacts)
    SELECT p.word, _first, ('{' || string_agg(p.impact, ',') || '}/' || (_until - _first + 1))::sparsevec
    FROM posting AS p GROUP BY p.word;
    RETURN _until - _first + 1;
END
$pgknowbase$;
