-- Which documents are worth scoring: those that have a word, or two words, at such levels (pgknowbase_add_frequency_marks)
-- that their score is at least so much, in a document of average length. How much, is where the documents expected are
-- at_most. What is common at a level is looked for only together with what is rare, so that the index has no long list to
-- walk along.
CREATE OR REPLACE FUNCTION pgknowbase_word_candidates(terms jsonb, corpus float8, at_most integer, k1 float8)
RETURNS tsquery
LANGUAGE sql STABLE PARALLEL SAFE SECURITY INVOKER SET search_path FROM CURRENT SET jit = 'off'
AS $pgknowbase$
    WITH term AS MATERIALIZED (
        SELECT t.token, t.words, t.levels, t.weight, row_number() OVER (ORDER BY t.weight DESC, t.token) AS place,
            20.0 * at_most / count(*) OVER () AS room
        FROM (
            SELECT r.token, r.levels, array_agg(DISTINCT r.word) AS words,
                max(r.times * ln(1 + (corpus - f.documents + 0.5) / (f.documents + 0.5))) AS weight
            FROM jsonb_to_recordset(terms) AS r (token bigint, word text, times bigint, stopped float8, levels float8[])
            CROSS JOIN LATERAL (SELECT least(r.levels[1] + r.stopped, corpus) AS documents) AS f
            GROUP BY r.token, r.levels
        ) AS t
    ), atom AS MATERIALIZED (
        -- rare: short enough a list; eased: the next lower level is, too
        SELECT a.token, a.place, a.level, a.words, a.present, a.gain, a.rare,
            a.gain - lag(a.gain, 1, 0) OVER upwards AS step, lag(a.rare, 1, false) OVER upwards AS eased
        FROM (
            SELECT t.token, t.place, l.level, t.words, least(t.levels[l.level + 1], corpus) AS present,
                t.weight * (k1 + 1) * 1.6 ^ l.level / (1.6 ^ l.level + k1) AS gain,
                t.levels[l.level + 1] <= t.room OR l.level = cardinality(t.levels) - 1 AS rare
            FROM term AS t CROSS JOIN LATERAL generate_series(0, cardinality(t.levels) - 1) AS l (level)
        ) AS a
        WINDOW upwards AS (PARTITION BY a.token ORDER BY a.level)
    ), clause AS (
        -- A clause counts from its own score down to that of the next less strict one, which has its documents too.
        SELECT a.token, a.level, NULL::bigint AS token2, NULL::integer AS level2, a.present AS expected, a.gain AS score,
            CASE WHEN a.eased THEN a.gain - a.step ELSE 0 END AS until
        FROM atom AS a WHERE a.rare
        UNION ALL
        SELECT a.token, a.level, o.token, o.level, a.present * o.present / corpus, a.gain + o.gain,
            a.gain + o.gain - least(
                CASE WHEN a.eased OR o.rare THEN a.step ELSE a.gain + o.gain END,
                CASE WHEN o.eased OR a.rare THEN o.step ELSE a.gain + o.gain END)
        FROM atom AS a JOIN atom AS o ON o.place > a.place AND o.place <= 8
        WHERE (a.rare OR o.rare) AND a.level <= 4 AND o.level <= 4
    ), summed AS (
        SELECT e.score, sum(e.change) OVER (ORDER BY e.score DESC) AS expected
        FROM (
            SELECT round(c.score::numeric, 6)::float8 AS score, c.expected AS change FROM clause AS c
            UNION ALL SELECT round(c.until::numeric, 6)::float8, -c.expected FROM clause AS c
        ) AS e
    ), bound AS (
        SELECT coalesce(
            (SELECT min(s.score) FROM summed AS s WHERE s.expected <= at_most AND s.score > 0),
            (SELECT max(c.score) FROM clause AS c)) - 1e-5 AS least
    ), chosen AS (
        SELECT c.* FROM clause AS c, bound AS b WHERE c.score >= b.least AND c.until < b.least
        ORDER BY c.expected DESC, c.score DESC LIMIT 24
    ), spelled AS (
        SELECT a.token, a.level, (
            SELECT format('(%s)', string_agg(
                CASE a.level WHEN 0 THEN w.word ELSE format('''^%s%s', a.level, substr(w.word, 2)) END, '|'))
            FROM unnest(a.words) AS w (word)) AS words
        FROM atom AS a
    )
    SELECT string_agg(format('(%s%s)', a.words, ' & ' || o.words), '|')::tsquery
    FROM chosen AS c
    JOIN spelled AS a ON a.token = c.token AND a.level = c.level
    LEFT JOIN spelled AS o ON o.token = c.token2 AND o.level = c.level2
$pgknowbase$;
