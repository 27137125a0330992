-- How many documents and words each source has in each language, as a sum of rows: a writer appends what it changed and
-- waits for nobody. pgknowbase_corpus_fold_v1 makes one row of many.
CREATE TABLE pgknowbase_corpus (
    source integer NOT NULL,
    language text NOT NULL,
    documents bigint NOT NULL,
    words bigint NOT NULL
);
CREATE INDEX pgknowbase_corpus_source ON pgknowbase_corpus (source);
