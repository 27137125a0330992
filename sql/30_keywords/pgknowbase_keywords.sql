-- The words of each document, for BM25. Triggers on the documents mark as stale what anybody changes, in the same
-- transaction; the worker makes the words anew. Until then the old ones are found; a new document has none yet.
CREATE TABLE pgknowbase_keywords (
    source integer NOT NULL,
    id text NOT NULL,
    -- The text search configuration, by its name: pg_upgrade refuses columns of type regconfig.
    language text,
    words tsvector, -- NULL also where they are distributed: see pgknowbase_keywords_distribute_v1
    length integer,
    -- Which server and configuration made them: pgknowbase_word_maker.
    maker text NOT NULL DEFAULT '',
    -- How often the words stand there that do so more than 200 times, of which a tsvector does not tell.
    frequent jsonb,
    stale boolean NOT NULL DEFAULT true,
    -- A new one with all words that are made: a document whose words have changed is another one to pgknowbase_postings.
    number bigint,
    PRIMARY KEY (source, id)
);
CREATE INDEX pgknowbase_keywords_words ON pgknowbase_keywords USING gin (words) WHERE words IS NOT NULL;
CREATE SEQUENCE pgknowbase_keywords_numbers OWNED BY pgknowbase_keywords.number;
CREATE INDEX pgknowbase_keywords_number ON pgknowbase_keywords (number) WHERE number IS NOT NULL;
-- Not partial: one of all that have words would look as good as the index of words, and is read as a whole for each word.
CREATE INDEX pgknowbase_keywords_maker ON pgknowbase_keywords (language, maker);
-- In another order than the primary key, which else would look as good to a planner that believes the table to be empty.
CREATE INDEX pgknowbase_keywords_stale ON pgknowbase_keywords (id, source) WHERE stale;
