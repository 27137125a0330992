-- The common words of each source, of which searches do not count the documents: in about how many (present) of how
-- many (documents) a word stood when pgknowbase_word_sample last looked. Words are written as in a tsquery.
CREATE TABLE pgknowbase_word (
    source integer NOT NULL,
    word text NOT NULL,
    documents bigint NOT NULL,
    present bigint NOT NULL,
    PRIMARY KEY (source, word)
);
