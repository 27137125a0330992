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
SET enable_memoize = off -- which is chosen for the words, each a million times, and takes longer than hashing them once
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
            SELECT b.block, b.last, b.parts, n.documents INTO _next
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
            DELETE FROM pgknowbase_rare_postings AS p USING generate_series(_next.parts, 2 * _next.parts - 1) AS r (part)
            WHERE p.part = r.part AND p.block = _next.block;
            DELETE FROM pgknowbase_postings_block WHERE block = _next.block;
            RETURN _next.last - _next.block + 1;
        END IF;
    END IF;
    DELETE FROM pgknowbase_postings AS p
    WHERE p.block IN (SELECT b.block FROM pgknowbase_postings_block AS b WHERE b.block BETWEEN _first AND _until);
    DELETE FROM pgknowbase_rare_postings AS p
    USING pgknowbase_postings_block AS b CROSS JOIN LATERAL generate_series(b.parts, 2 * b.parts - 1) AS r (part)
    WHERE b.block BETWEEN _first AND _until AND p.part = r.part AND p.block = b.block;
    DELETE FROM pgknowbase_postings_block AS b WHERE b.block BETWEEN _first AND _until;
    WITH average AS MATERIALIZED (
        SELECT c.source, sum(c.words)::float8 / nullif(sum(c.documents), 0) AS length FROM pgknowbase_corpus AS c
        GROUP BY c.source
    ), doc AS MATERIALIZED (
        SELECT (k.number - _first)::integer AS place, k.source, k.words, k.frequent, k.length,
            1.2 * (0.25 + 0.75 * k.length / greatest(a.length, 1)) AS single
        FROM (
            SELECT w.number, w.source, w.words, w.frequent, w.length FROM pgknowbase_keywords AS w
            WHERE NOT _is_distributed AND w.number BETWEEN _first AND _until
            UNION ALL
            SELECT s.number, s.source, s.words, s.frequent, s.length
            FROM pgknowbase_read_shard_keywords(first => _first, last => _until) AS s WHERE _is_distributed
        ) AS k
        JOIN average AS a ON a.source = k.source
    ), block AS MATERIALIZED (
        SELECT count(*) AS documents, coalesce(array_agg(DISTINCT d.source), '{}') AS sources,
            -- So a row of pgknowbase_rare_postings has about a kilobyte.
            (2 ^ least(16, ceil(log(2, greatest(1, sum(d.length) / 500.0)))))::integer AS parts
        FROM doc AS d
    ), made AS (
        INSERT INTO pgknowbase_postings_block (block, last, sample, documents, parts, sources)
        SELECT _first, _until, _sample, b.documents, b.parts, b.sources FROM block AS b
    ), word AS MATERIALIZED (
        SELECT u.lexeme, w.weight, count(*) AS documents, string_agg(CASE
            WHEN w.weight IS NULL THEN ((d.place << 17) + (source.place << 11) + least(round(2047 * share.value), 2047)::integer)::text
            ELSE d.place + 1 || ':' || round(2200 * w.weight * share.value)::integer END, ',') AS postings
        FROM doc AS d
        CROSS JOIN LATERAL (SELECT least(array_position(b.sources, d.source), 64) % 64 AS place FROM block AS b OFFSET 0) AS source
        CROSS JOIN LATERAL unnest(d.words) AS u
        LEFT JOIN pgknowbase_postings_word AS w ON w.word = u.lexeme
        CROSS JOIN LATERAL (
            SELECT coalesce((d.frequent ->> u.lexeme)::integer, cardinality(u.positions)) AS times
        ) AS t
        CROSS JOIN LATERAL (SELECT t.times / (t.times + d.single) AS value) AS share
        GROUP BY u.lexeme, w.weight
    ), common AS (
        INSERT INTO pgknowbase_postings (word, block, impacts)
        SELECT p.word, _first, ('{' || p.postings || '}/' || (_until - _first + 1))::sparsevec
        FROM (
            SELECT w.lexeme AS word, w.postings FROM word AS w WHERE w.weight IS NOT NULL
            UNION ALL
            SELECT '^' || d.source, string_agg(d.place + 1 || ':1048576', ',') FROM doc AS d GROUP BY d.source
        ) AS p
    )
    INSERT INTO pgknowbase_rare_postings (block, part, hashes, ends, postings)
    SELECT _first, h.part, array_agg(h.hash ORDER BY h.hash), array_agg(h.last ORDER BY h.hash),
        ('{' || string_agg(h.postings, ',' ORDER BY h.hash) || '}')::integer[]
    FROM (
        SELECT o.part, o.hash, string_agg(w.postings, ',') AS postings,
            (sum(sum(w.documents)) OVER (PARTITION BY o.part ORDER BY o.hash))::integer AS last
        FROM word AS w
        CROSS JOIN LATERAL (SELECT hashtext(w.lexeme) AS hash OFFSET 0) AS n
        CROSS JOIN LATERAL (SELECT n.hash, b.parts + (n.hash & (b.parts - 1)) AS part FROM block AS b OFFSET 0) AS o
        WHERE w.weight IS NULL
        GROUP BY o.part, o.hash
    ) AS h
    GROUP BY h.part;
    RETURN _until - _first + 1;
END
$pgknowbase$;
