-- The documents that score best by those words of a search text that pgknowbase_postings has: about at_most of them.
--
--   terms       as pgknowbase_word_frequencies gives them
--   documents   how many there are, for weighing a word
--   rare        where so many documents have a word that is not in pgknowbase_postings, and such a word counts more than all
--               others together can, there are no numbers: the best are among these documents
--   numbers     those of the documents (pgknowbase_keywords)
--   others      the words that pgknowbase_postings does not have, which are rare, or prefixes and the like
--   last        documents of later numbers are in no block yet
--   is_all      there are no others that have one of these words
--
-- The scores of a block are one vector, the sum of those of the words. What is above the bound becomes a bit, and the bound is
-- what the last of the best of all blocks so far has.
-- requires: pgknowbase_vector_of
DO $pgknowbase$ BEGIN PERFORM '[1]'::vector; END $pgknowbase$;
CREATE OR REPLACE FUNCTION pgknowbase_best_postings(
    terms jsonb, documents float8, sources integer[], at_most integer, rare integer, OUT numbers bigint[], OUT others tsquery, OUT last bigint,
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
    _least_rare float8;
    _most_common float8;
    _multipliers vector[];
    _place integer;
    _least CONSTANT real := CASE WHEN sources IS NULL THEN 0 ELSE 1048576 END; -- what all have
    _bound real;
    _bounds vector;
    _blocks bigint[];
    _widths integer[];
    _sampled bigint;
    _first integer;
    _scores real[];
BEGIN
    SELECT min(b.sample), coalesce(max(b.last), 0), sum(b.last - b.block + 1) INTO _sample, last, _size
    FROM pgknowbase_postings_block AS b;
    WITH term AS (
        SELECT DISTINCT r.token, r.word, r.times, ln(1 + (documents - f.documents + 0.5) / (f.documents + 0.5)) AS weight
        FROM jsonb_to_recordset(terms) AS r (token bigint, word text, times bigint, stopped float8, documents float8)
        CROSS JOIN LATERAL (SELECT least(coalesce(r.documents, 1000) + r.stopped, documents) AS documents) AS f
    ), spelled AS MATERIALIZED (
        -- Of what is more than a choice of words, such as a prefix, nothing is known.
        SELECT t.token, t.times, t.weight, coalesce(s.word, t.word) AS word, w.weight AS stored, w.word AS lexeme
        FROM term AS t
        LEFT JOIN LATERAL regexp_split_to_table(t.word, '[|() ]+') AS s (word)
            ON t.word ~ '^[( ]*''[^''\\]+''([|() ]+''[^''\\]+'')*[) ]*$' AND s.word <> ''
        LEFT JOIN pgknowbase_postings_word AS w ON w.word = trim(s.word, '''') AND w.sample <= _sample
    ), wanted AS (
        SELECT u.word, CASE WHEN u.factor BETWEEN 0.95 * round(u.factor) AND 1.05 * round(u.factor) THEN round(u.factor) END AS repeats,
            u.factor
        FROM (
            SELECT d.lexeme AS word, sum(d.times * d.weight / d.stored) AS factor
            FROM (SELECT DISTINCT s.token, s.times, s.weight, s.stored, s.lexeme FROM spelled AS s WHERE s.lexeme IS NOT NULL) AS d
            GROUP BY d.lexeme
        ) AS u
    )
    SELECT array_agg(w.word), array_agg(w.repeats), array_agg(w.factor), (
            SELECT min(s.times * s.weight) FROM spelled AS s WHERE s.lexeme IS NULL), (
            SELECT sum(2.2 * s.times * s.weight) FROM spelled AS s WHERE s.lexeme IS NOT NULL),
        coalesce((
            SELECT string_agg(DISTINCT format('(%s)', s.word), '|') FROM spelled AS s WHERE s.lexeme IS NULL), '''^''')::tsquery
    INTO _words, _repeats, _factors, _least_rare, _most_common, others
    FROM wanted AS w;
    numbers := '{}';
    is_all := _words IS NULL;
    -- 0.7: what a word adds that stands once in a document of twice the average length. Most have more.
    IF _words IS NULL OR 0.7 * _least_rare > _most_common AND rare = (
        SELECT count(*) FROM (
            SELECT FROM pgknowbase_keywords AS k
            WHERE NOT _is_distributed AND k.words @@ others AND (sources IS NULL OR k.source = ANY (sources))
            UNION ALL
            SELECT FROM pgknowbase_read_shard_keywords(wanted => others, sources => sources, at_most => rare, with_words => false)
            WHERE _is_distributed
            LIMIT rare) AS present)
    THEN
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
        (array_agg(b.block ORDER BY b.last - b.block + 1 < 2000, b.last - b.block))[1]
    INTO _blocks, _widths, _sampled
    FROM pgknowbase_postings_block AS b;
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
        _bound := greatest(_least, coalesce(_bound, 0) - 0.5);
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
                FROM unnest(_blocks[_first:2 * _first - 1], _widths[_first:2 * _first - 1]) AS b (block, width)
                CROSS JOIN LATERAL (
                    SELECT sum(CASE
                        WHEN t.repeats IS NOT NULL THEN l.impacts
                        ELSE l.impacts * subvector(t.multiplier, 1, b.width) END) AS scores
                    FROM unnest(_words, _repeats, _multipliers) AS t (word, repeats, multiplier)
                    CROSS JOIN LATERAL (
                        SELECT p.impacts::vector AS impacts FROM pgknowbase_postings AS p
                        WHERE p.word = t.word AND p.block = b.block OFFSET 0
                    ) AS l
                    CROSS JOIN LATERAL generate_series(1, coalesce(t.repeats, 1)) AS n
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
