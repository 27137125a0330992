-- A text as HTML, with <mark> around the words that a tsquery has, in any of their forms; everything else is escaped. Of a text
-- longer than at_most characters the part that has the most different of them, cut between words. NULL: the whole text.
-- requires: pgknowbase_bigrams, pgknowbase_tokenize_ascii, pgknowbase_tokenize_document_v1
CREATE OR REPLACE FUNCTION pgknowbase_highlight(
    language text, content text, words tsquery, at_most integer DEFAULT NULL) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE SECURITY INVOKER SET search_path FROM CURRENT
SET standard_conforming_strings = on -- a session may read the backslashes below in another way
AS $pgknowbase$
    WITH piece AS MATERIALIZED (
        -- Runs of letters and digits, and what is between them. All beyond Latin-1 is a letter but for blocks of punctuation.
        SELECT m.place, 0::bigint AS part, m.found[1] IS NOT NULL AS is_word, coalesce(m.found[1], m.found[2]) AS content
        FROM regexp_matches(
            regexp_replace(content, '\s+', ' ', 'g'),
            '([0-9A-Za-zªµº\u00C0-\u1FFF\u2070-\u2DFF\u2E80-\u2FFF\u3005-\u3007\u3021-\uFEFF\uFF10-\uFF19\uFF21-\uFF3A\uFF41-\uFF5A'
            '\uFF66-\U0003FFFF]{1,50})'
            '|([^0-9A-Za-zªµº\u00C0-\u1FFF\u2070-\u2DFF\u2E80-\u2FFF\u3005-\u3007\u3021-\uFEFF\uFF10-\uFF19\uFF21-\uFF3A\uFF41-\uFF5A'
            '\uFF66-\U0003FFFF]+)', 'g') WITH ORDINALITY AS m (found, place)
    ), letter AS MATERIALIZED (
        -- What is searched by pairs of characters: each character with the pairs that it is part of.
        SELECT p.place, c.part, c.letter, c.letter || lead(c.letter, 1, '') OVER run AS pair,
            lag(c.letter) OVER run || c.letter AS pair_before
        FROM piece AS p
        CROSS JOIN LATERAL regexp_split_to_table(p.content, '') WITH ORDINALITY AS c (letter, part)
        WHERE p.is_word AND octet_length(p.content) > length(p.content) AND pgknowbase_bigrams(p.content) <> p.content
        WINDOW run AS (PARTITION BY p.place ORDER BY c.part)
    ), token AS (
        SELECT p.place, p.part, p.content, CASE WHEN p.is_word THEN p.content END AS probe, NULL AS other
        FROM piece AS p WHERE p.place NOT IN (SELECT l.place FROM letter AS l)
        UNION ALL SELECT l.place, l.part, l.letter, l.pair, l.pair_before FROM letter AS l
    ), probe AS MATERIALIZED (
        SELECT d.probe, CASE WHEN octet_length(d.probe) = length(d.probe)
            THEN pgknowbase_tokenize_ascii(language, d.probe) ELSE pgknowbase_tokenize_document_v1(language, d.probe) END @@ words
            AS is_match
        FROM (SELECT t.probe FROM token AS t WHERE t.probe IS NOT NULL UNION SELECT t.other FROM token AS t WHERE t.other IS NOT NULL) AS d
    ), placed AS MATERIALIZED (
        SELECT t.place, t.part, t.content, t.probe,
            coalesce(a.is_match, false) OR coalesce(b.is_match, false) AS is_match,
            sum(length(t.content)) OVER (ORDER BY t.place, t.part) AS until
        FROM token AS t LEFT JOIN probe AS a ON a.probe = t.probe LEFT JOIN probe AS b ON b.probe = t.other
    ), size AS (
        SELECT max(p.until) AS total FROM placed AS p
    ), chosen AS (
        -- The first of the parts that begin with a match and have the most different ones.
        SELECT m.start, w.last
        FROM (
            SELECT p.until - length(p.content) AS start FROM placed AS p WHERE p.is_match ORDER BY p.place, p.part LIMIT 200
        ) AS m
        CROSS JOIN LATERAL (
            SELECT count(DISTINCT lower(o.probe)) AS matches, max(o.until) AS last
            FROM placed AS o WHERE o.is_match AND o.until - length(o.content) >= m.start AND o.until <= m.start + at_most
        ) AS w
        ORDER BY w.matches DESC, m.start LIMIT 1
    ), cut AS (
        SELECT b.start, b.start + coalesce(at_most, s.total) AS until, s.total
        FROM size AS s
        LEFT JOIN chosen AS c ON true
        CROSS JOIN LATERAL (
            SELECT CASE WHEN at_most < s.total
                THEN greatest(0, least(c.start - (at_most - (c.last - c.start)) / 2, s.total - at_most)) ELSE 0 END AS start
        ) AS b
    )
    SELECT coalesce(replace(
        CASE WHEN min(p.until - length(p.content)) > 0 THEN '…' ELSE '' END
        || string_agg(CASE WHEN p.is_match THEN '<mark>' || e.content || '</mark>' ELSE e.content END, '' ORDER BY p.place, p.part)
        || CASE WHEN max(p.until) < max(c.total) THEN '…' ELSE '' END, '</mark><mark>', ''), '')
    FROM placed AS p
    JOIN cut AS c ON p.until - length(p.content) >= c.start AND p.until <= c.until
    CROSS JOIN LATERAL (
        SELECT replace(replace(replace(replace(replace(
            p.content, '&', '&amp;'), '<', '&lt;'), '>', '&gt;'), '"', '&quot;'), '''', '&#x27;') AS content
    ) AS e
$pgknowbase$;
