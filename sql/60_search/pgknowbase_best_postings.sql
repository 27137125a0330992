-- The documents that score best by those words of a search text that are in the blocks of postings: about at_most of them.
--
--   terms       as pgknowbase_word_frequencies gives them
--   documents   how many there are, for weighing a word
--   hits        where so many of the best will do, fewer documents may be given; NULL: they may have to be passed over
--   numbers     those of the documents (pgknowbase_keywords)
--   others      the words that the blocks do not have, such as prefixes, and those that have become common, or rare, of late
--   last        documents of later numbers are in no block yet
--   is_all      there are no others that have one of these words
--
-- What the common words add to the scores of a block is one vector, the sum of those of the words (pgknowbase_postings); what the others
-- add (pgknowbase_rare_postings) is known of each document that has one. Where the common ones could not bring another document among the
-- best, nor change their order much, these alone tell. Else they become vectors of the blocks as well. What is above the bound
-- becomes a bit, and the bound is what the last of the best of all blocks so far has.
-- requires: pgknowbase_vector_of, pgknowbase_read_rare_postings
DO $pgknowbase$ BEGIN PERFORM '[1]'::vector; END $pgknowbase$;
CREATE OR REPLACE FUNCTION pgknowbase_best_postings(
    terms jsonb, documents float8, sources integer[], at_most integer, hits integer, OUT numbers bigint[], OUT others tsquery, OUT last bigint,
    OUT is_all boolean)
RETURNS record
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED SECURITY INVOKER
SET search_path FROM CURRENT
SET plan_cache_mode = 'force_generic_plan' -- planning would cost more than a small search
SET max_parallel_workers_per_gather = 0
SET work_mem = '256MB' -- 4 bytes for each document, twice
SET enable_seqscan = 'off'
SET jit = 'off'
AS $pgknowbase$
#variable_conflict use_variable
DECLARE
    _is_distributed CONSTANT boolean := to_regclass('pgknowbase_shard_keywords') IS NOT NULL;
    _sample integer;
    _size bigint;
    _words text[];
    _repeats integer[];
    _factors real[];
    _rare text[];
    _rare_factors float8[];
    _rare_numbers bigint[];
    _rare_scores float8[];
    _rare_bound float8; -- what the last of the best has without common words: of hits,
    _rare_least float8; -- and of at_most
    _most_common float8; -- what common words can add to a document
    _queries tsquery[]; -- the common words, and what each adds if it stands once in a document without length
    _additions float8[];
    _length float8;
    _multipliers vector[];
    _place integer;
    _least CONSTANT real := CASE WHEN sources IS NULL THEN 0 ELSE 1048576 END; -- what all of the sources have
    _leasts CONSTANT vector := CASE WHEN sources IS NOT NULL THEN pgknowbase_vector_of(1048576) END;
    _bound real;
    _bounds vector;
    _blocks bigint[];
    _widths integer[];
    _wholes boolean[]; -- whether all documents of the block are of the sources
    _vectors sparsevec[];
    _sampled bigint;
    _first integer;
    _scores real[];
BEGIN
    SELECT min(b.sample), coalesce(max(b.last), 0) INTO _sample, last FROM pgknowbase_postings_block AS b;
    WITH term AS (
        SELECT DISTINCT r.token, r.word, r.times, ln(1 + (documents - f.documents + 0.5) / (f.documents + 0.5)) AS weight
        FROM jsonb_to_recordset(terms) AS r (token bigint, word text, times bigint, stopped float8, documents float8)
        CROSS JOIN LATERAL (SELECT least(r.documents + r.stopped, documents) AS documents) AS f
    ), spelled AS MATERIALIZED (
        -- Of what is more than a choice of words, such as a prefix, nothing is known.
        SELECT t.token, t.times, t.weight, coalesce(s.word, t.word) AS word, w.weight AS stored, n.lexeme,
            w.word IS NULL AND last > 0 AND NOT EXISTS (SELECT FROM pgknowbase_postings AS p WHERE p.word = n.lexeme) AS is_rare
        FROM term AS t
        LEFT JOIN LATERAL regexp_split_to_table(t.word, '[|() ]+') AS s (word)
            ON t.word ~ '^[( ]*''[^''\\]+''([|() ]+''[^''\\]+'')*[) ]*$' AND s.word <> ''
        CROSS JOIN LATERAL (SELECT trim(s.word, '''') AS lexeme) AS n
        LEFT JOIN pgknowbase_postings_word AS w ON w.word = n.lexeme AND w.sample <= _sample
    ), placed AS MATERIALIZED (
        SELECT DISTINCT s.token, s.times, s.weight, s.stored, s.lexeme FROM spelled AS s
        WHERE s.lexeme IS NOT NULL AND (s.is_rare OR s.stored IS NOT NULL)
    ), rare AS (
        SELECT p.lexeme, sum(2200 * p.times * p.weight) / 2047 AS factor FROM placed AS p WHERE p.stored IS NULL GROUP BY p.lexeme
    ), wanted AS (
        SELECT u.word, CASE WHEN u.factor BETWEEN 0.95 * round(u.factor) AND 1.05 * round(u.factor) THEN round(u.factor) END AS repeats,
            u.factor
        FROM (
            SELECT p.lexeme AS word, sum(p.times * p.weight / p.stored) AS factor FROM placed AS p
            WHERE p.stored IS NOT NULL GROUP BY p.lexeme
        ) AS u
    )
    SELECT array_agg(w.word), array_agg(w.repeats), array_agg(w.factor), (SELECT array_agg(r.lexeme ORDER BY r.lexeme) FROM rare AS r), (
            SELECT array_agg(r.factor ORDER BY r.lexeme) FROM rare AS r),
        (SELECT array_agg(quote_literal(p.lexeme)::tsquery ORDER BY p.lexeme, p.token) FROM placed AS p WHERE p.stored IS NOT NULL), (
            SELECT array_agg(2200 * p.times * p.weight ORDER BY p.lexeme, p.token) FROM placed AS p WHERE p.stored IS NOT NULL),
        (SELECT sum(c.words)::float8 / nullif(sum(c.documents), 0) FROM pgknowbase_corpus AS c),
        coalesce((
            SELECT string_agg(DISTINCT format('(%s)', s.word), '|') FROM spelled AS s
            WHERE s.lexeme IS NULL OR NOT s.is_rare AND s.stored IS NULL), '''^''')::tsquery
    INTO _words, _repeats, _factors, _rare, _rare_factors, _queries, _additions, _length, others
    FROM wanted AS w;
    _most_common := coalesce((SELECT sum(a.addition) FROM unnest(_additions) AS a (addition)), 0);
    numbers := '{}';
    IF _rare IS NOT NULL THEN
        SELECT array_agg(r.number), array_agg(r.score) INTO _rare_numbers, _rare_scores
        FROM (
            SELECT p.block + (u.posting >> 17) AS number, sum((u.posting & 2047) * f.factor) AS score
            FROM pgknowbase_read_rare_postings(_rare, sources) AS p
            JOIN unnest(_rare, _rare_factors) AS f (word, factor) ON f.word = p.word
            CROSS JOIN LATERAL unnest(p.postings) AS u (posting)
            GROUP BY 1
        ) AS r;
        -- A few more than hits: numbers may be of documents that have changed since.
        _place := least(at_most, 1.5 * hits + 10);
        SELECT min(r.score) FILTER (WHERE r.place = _place), min(r.score) FILTER (WHERE r.place = at_most)
        INTO _rare_bound, _rare_least
        FROM (
            SELECT o.score, row_number() OVER (ORDER BY o.score DESC) AS place FROM unnest(_rare_scores) AS o (score)
            ORDER BY o.score DESC LIMIT at_most
        ) AS r;
        IF _words IS NOT NULL AND NOT _is_distributed AND _rare_bound > _most_common THEN
            -- What the best of these have with their common words, if each stands there once.
            SELECT greatest(_rare_bound, b.score) INTO _rare_bound
            FROM (
                SELECT r.score + coalesce((
                    SELECT sum(w.addition) FROM unnest(_queries, _additions) AS w (word, addition) WHERE k.words @@ w.word)
                    / (1 + 1.2 * (0.25 + 0.75 * k.length / _length)), 0) AS score
                FROM (
                    SELECT o.number, o.score FROM unnest(_rare_numbers, _rare_scores) AS o (number, score)
                    ORDER BY o.score DESC LIMIT 3 * _place
                ) AS r
                JOIN pgknowbase_keywords AS k ON k.number = r.number
                ORDER BY 1 DESC OFFSET _place - 1 LIMIT 1
            ) AS b;
        END IF;
        SELECT array_agg(b.number) INTO numbers
        FROM (
            SELECT r.number FROM unnest(_rare_numbers, _rare_scores) AS r (number, score)
            WHERE _rare_bound IS NULL OR r.score >= _rare_bound - _most_common
            ORDER BY r.score DESC LIMIT CASE WHEN _words IS NULL THEN at_most ELSE greatest(at_most, 500) + 1 END
        ) AS b;
    END IF;
    is_all := _words IS NULL AND (_rare_numbers IS NULL OR cardinality(_rare_numbers) <= at_most);
    IF _words IS NULL OR _rare_bound > _most_common AND cardinality(numbers) <= greatest(at_most, 500) THEN
        numbers := coalesce(numbers, '{}');
        RETURN;
    END IF;
    IF sources IS NOT NULL THEN
        _words := _words || ARRAY(SELECT '^' || s FROM unnest(sources) AS s);
        _repeats := _repeats || array_fill(1, ARRAY[cardinality(sources)]);
        _factors := _factors || array_fill(NULL::real, ARRAY[cardinality(sources)]);
    END IF;
    _multipliers := ARRAY(
        SELECT CASE WHEN w.repeats IS NULL THEN pgknowbase_vector_of(w.factor) END
        FROM unnest(_repeats, _factors) WITH ORDINALITY AS w (repeats, factor, place) ORDER BY w.place);
    SELECT array_agg(b.block ORDER BY b.block), array_agg((b.last - b.block + 1)::integer ORDER BY b.block),
        array_agg(sources IS NOT NULL AND b.sources <@ sources ORDER BY b.block),
        (array_agg(b.block ORDER BY b.last - b.block + 1 < 2000, b.last - b.block))[1], sum(b.last - b.block + 1)
    INTO _blocks, _widths, _wholes, _sampled, _size
    FROM pgknowbase_postings_block AS b WHERE sources IS NULL OR b.sources && sources;
    -- The first bound is what so many of 2,000 documents have: of four blocks some more than at_most will have it.
    _place := greatest(4, round(3.0 * at_most * 2000 / greatest(2000, least(_size, 64000))));
    LOOP
        SELECT u.score INTO _bound
        FROM (
            SELECT sum(CASE
                WHEN t.repeats IS NOT NULL THEN l.impacts
                ELSE l.impacts * subvector(t.multiplier, 1, vector_dims(l.impacts)) END) AS scores
            FROM unnest(_words, _repeats, _multipliers) AS t (word, repeats, multiplier)
            CROSS JOIN LATERAL (
                SELECT p.impacts::vector AS impacts FROM pgknowbase_postings AS p WHERE p.word = t.word AND p.block = _sampled OFFSET 0
            ) AS l
            CROSS JOIN LATERAL generate_series(1, coalesce(t.repeats, 1)) AS n
        ) AS s
        CROSS JOIN LATERAL unnest(subvector(s.scores, 1, least(2000, vector_dims(s.scores)))::real[]) AS u (score)
        WHERE s.scores IS NOT NULL
        ORDER BY u.score DESC OFFSET _place - 1 LIMIT 1;
        _bound := greatest(_least, coalesce(_bound, 0) - 0.5, _least + _rare_least - 0.5);
        _rare_least := NULL; -- where it was too high, as with documents that have gone
        IF _rare_numbers IS NOT NULL THEN
            _vectors := ARRAY(
                SELECT ('{' || r.places || '}/' || b.width)::sparsevec
                FROM unnest(_blocks, _widths) WITH ORDINALITY AS b (block, width, place)
                LEFT JOIN (
                    SELECT width_bucket(o.number, _blocks) AS place, string_agg(o.number - b.first + 1 || ':' || round(o.score), ',') AS places
                    FROM unnest(_rare_numbers, _rare_scores) AS o (number, score)
                    CROSS JOIN LATERAL (SELECT _blocks[width_bucket(o.number, _blocks)] AS first) AS b
                    WHERE o.score > _bound - _least - _most_common GROUP BY 1
                ) AS r ON r.place = b.place
                ORDER BY b.place);
        END IF;
        _scores := '{}';
        numbers := '{}';
        _first := 1;
        -- One block, two, four and so on: with each part the bound is higher, and there are few of them.
        WHILE _first <= cardinality(_blocks) LOOP
            _bounds := pgknowbase_vector_of(_bound);
            WITH reached AS (
                -- Block by block, so that the vectors of one are forgotten before those of the next are made.
                SELECT b.block + n.place + o.place - 1 AS number,
                    (subvector(s.scores, (n.place + o.place)::integer, 1)::real[])[1] AS score
                FROM unnest(
                    _blocks[_first:2 * _first - 1], _widths[_first:2 * _first - 1], _wholes[_first:2 * _first - 1],
                    _vectors[_first:2 * _first - 1]) AS b (block, width, whole, vector)
                CROSS JOIN LATERAL (
                    SELECT sum(a.impacts) AS scores
                    FROM (
                        SELECT CASE
                            WHEN t.repeats IS NOT NULL THEN l.impacts
                            ELSE l.impacts * subvector(t.multiplier, 1, b.width) END AS impacts
                        FROM unnest(_words, _repeats, _multipliers) AS t (word, repeats, multiplier)
                        CROSS JOIN LATERAL (
                            SELECT p.impacts::vector AS impacts FROM pgknowbase_postings AS p
                            WHERE p.word = t.word AND p.block = b.block OFFSET 0
                        ) AS l
                        CROSS JOIN LATERAL generate_series(1, coalesce(t.repeats, 1)) AS n
                        WHERE NOT b.whole OR t.word NOT LIKE '^%'
                        UNION ALL
                        SELECT b.vector::vector WHERE b.vector IS NOT NULL
                        UNION ALL
                        SELECT subvector(_leasts, 1, b.width) WHERE b.whole
                    ) AS a
                ) AS s
                CROSS JOIN LATERAL (
                    SELECT binary_quantize(s.scores - CASE
                        WHEN b.width = 16000 THEN _bounds ELSE subvector(_bounds, 1, b.width) END)::bit varying AS bits
                    OFFSET 0
                ) AS m
                CROSS JOIN LATERAL generate_series(0, b.width - 1, 4000) AS n (place)
                CROSS JOIN LATERAL (SELECT substring(m.bits FROM n.place + 1 FOR 4000) AS bits OFFSET 0) AS c
                CROSS JOIN LATERAL (
                    -- What stands between the ones tells where they are.
                    SELECT sum(octet_length(z.zeros) + 1) OVER (ORDER BY z.number) AS place, z.number
                    FROM unnest(string_to_array(c.bits::text, '1')) WITH ORDINALITY AS z (zeros, number)
                ) AS o
                WHERE bit_count(m.bits) > 0 AND bit_count(c.bits) > 0 AND o.number <= bit_count(c.bits)
            )
            SELECT _scores || array_agg(r.score), numbers || array_agg(r.number) INTO _scores, numbers FROM reached AS r;
            _first := 2 * _first;
            IF cardinality(numbers) > at_most THEN
                SELECT array_agg(r.score), array_agg(r.number), min(r.score) INTO _scores, numbers, _bound
                FROM (
                    SELECT f.score, f.number FROM unnest(_scores, numbers) AS f (score, number)
                    ORDER BY f.score DESC, f.number LIMIT at_most
                ) AS r;
            END IF;
        END LOOP;
        EXIT WHEN cardinality(numbers) >= at_most OR _bound = _least;
        _place := _place * 8;
    END LOOP;
    is_all := _bound = _least;
END
$pgknowbase$;
