-- Computes the words of up to max_documents documents whose words are stale, or else were made by another maker, such as an
-- older server, and returns how many it made. Documents that another worker has locked are skipped.
-- requires: pgknowbase_words_of_others_v1, pgknowbase_document_words
CREATE OR REPLACE FUNCTION pgknowbase_keywords_refresh_v1(max_documents integer) RETURNS integer
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER SET search_path FROM CURRENT SET enable_seqscan = off
SET jit = off SET plan_cache_mode = force_custom_plan
AS $pgknowbase$
DECLARE
    _is_distributed boolean;
    _made pgknowbase_keywords[];
    _sources integer[];
    _ids text[];
    _other record;
    _count integer;
    _in_vain integer := 0;
BEGIN
    -- Now and then, so that nobody has to be asked to. Before anything is locked.
    IF random() < 0.01 THEN
        PERFORM pgknowbase_corpus_fold();
        PERFORM pgknowbase_word_refresh();
    END IF;
    LOOP
        SELECT array_agg(s.source), array_agg(s.id) INTO _sources, _ids
        FROM (
            SELECT k.source, k.id FROM pgknowbase_keywords AS k WHERE k.stale
            LIMIT max_documents OFFSET _in_vain FOR UPDATE SKIP LOCKED
        ) AS s;
        IF _ids IS NULL THEN
            FOR _other IN SELECT o.language, o.maker FROM pgknowbase_words_of_others_v1() AS o LOOP
                SELECT array_agg(s.source), array_agg(s.id) INTO _sources, _ids
                FROM (
                    SELECT k.source, k.id FROM pgknowbase_keywords AS k
                    WHERE k.language = _other.language AND k.maker = _other.maker
                    LIMIT max_documents FOR UPDATE SKIP LOCKED
                ) AS s;
                EXIT WHEN _ids IS NOT NULL;
            END LOOP;
        END IF;
        IF _ids IS NULL THEN
            RETURN 0;
        END IF;
        _is_distributed := to_regclass('pgknowbase_shard_keywords') IS NOT NULL; -- with the locks, or it could change
        -- Tells pgknowbase_postings_gather_v1 that numbers from here on may be given to documents that nobody sees yet.
        PERFORM pg_advisory_xact_lock_shared(pgknowbase_number_lock(
            coalesce(pg_sequence_last_value('pgknowbase_keywords_numbers'), 0))); -- to read it takes no more than USAGE
        -- With the locks held, so that a change of a document that this does not see marks its words as stale afterwards.
        WITH made AS MATERIALIZED (
            SELECT w.*, k.language AS old_language, k.maker AS old_maker, k.length AS old_length,
                nextval('pgknowbase_keywords_numbers') AS number
            FROM pgknowbase_document_words(_sources, _ids) AS w
            CROSS JOIN LATERAL (
                SELECT o.language, o.maker, o.length FROM pgknowbase_keywords AS o
                WHERE o.source = w.source AND o.id = w.id OFFSET 0
            ) AS k
        ), written AS (
            -- All of them are there. An upsert finds each by its key, where an UPDATE of a join may walk the table instead.
            INSERT INTO pgknowbase_keywords (source, id, language, maker, words, length, frequent, stale, number)
            SELECT m.source, m.id, m.language, m.maker, CASE WHEN NOT _is_distributed THEN m.words END, m.length,
                CASE WHEN NOT _is_distributed THEN m.frequent END, false, m.number
            FROM made AS m
            ON CONFLICT (source, id) DO UPDATE
            SET language = excluded.language, maker = excluded.maker, words = excluded.words, length = excluded.length,
                frequent = excluded.frequent, stale = false, number = excluded.number
        ), counted AS (
            INSERT INTO pgknowbase_corpus (source, language, maker, documents, words)
            SELECT c.source, c.language, c.maker, sum(c.documents), sum(c.words)
            FROM (
                SELECT m.source, m.language, m.maker, 1 AS documents, m.length AS words FROM made AS m
                UNION ALL
                SELECT m.source, m.old_language, m.old_maker, -1, -m.old_length FROM made AS m WHERE m.old_language IS NOT NULL
            ) AS c
            GROUP BY c.source, c.language, c.maker HAVING sum(c.documents) <> 0 OR sum(c.words) <> 0
        )
        SELECT count(*), array_agg(ROW(
            m.source, m.id, m.language, m.words, m.length, m.maker, m.frequent, false, m.number)::pgknowbase_keywords)
            FILTER (WHERE _is_distributed)
        INTO _count, _made FROM made AS m;
        EXIT WHEN _count > 0 OR _other IS NOT NULL;
        _in_vain := _in_vain + cardinality(_ids); -- their texts are on their way to the shards, or lost there: those behind them
    END LOOP;
    IF _made IS NOT NULL THEN
        INSERT INTO pgknowbase_shard_keywords AS k (source, id, language, words, length, frequent, number)
        SELECT m.source, m.id, m.language, m.words, m.length, m.frequent, m.number FROM unnest(_made) AS m
        ON CONFLICT (source, id) DO UPDATE
        SET language = excluded.language, words = excluded.words, length = excluded.length, frequent = excluded.frequent,
            number = excluded.number;
    END IF;
    -- The common words were read in the spelling that they had.
    IF _other IS NOT NULL AND NOT EXISTS (SELECT 1 FROM pgknowbase_words_of_others_v1()) THEN
        PERFORM pgknowbase_word_sample();
    END IF;
    RETURN _count;
END
$pgknowbase$;
