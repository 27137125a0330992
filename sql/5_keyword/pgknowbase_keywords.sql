-- The words of each document, for BM25. Kept by triggers on the documents, so that whatever a relay, a person in psql or
-- another program does to them, the words follow in the same transaction.
CREATE TABLE pgknowbase_keywords (
    source integer NOT NULL,
    id text NOT NULL,
    -- The text search configuration, by its name: pg_upgrade refuses columns of type regconfig.
    language text NOT NULL,
    words tsvector NOT NULL,
    length integer NOT NULL,
    PRIMARY KEY (source, id)
);
CREATE INDEX pgknowbase_keywords_words ON pgknowbase_keywords USING gin (words);
-- The most common words are told from the planner's statistics, so they go further down than the usual hundred.
ALTER TABLE pgknowbase_keywords ALTER COLUMN words SET STATISTICS 300;
