-- How many documents and words each source has in each language, made by whom, as a sum of rows: a writer appends what it changed and
-- waits for nobody. pgknowbase_corpus_fold makes one row of many.
CREATE TABLE pgknowbase_corpus (
    source integer NOT NULL,
    language text NOT NULL,
    documents bigint NOT NULL,
    words bigint NOT NULL,
    maker text NOT NULL DEFAULT '' -- as in pgknowbase_keywords
);
CREATE INDEX pgknowbase_corpus_source ON pgknowbase_corpus (source);
