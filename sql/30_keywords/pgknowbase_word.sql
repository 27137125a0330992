-- The common words of each source, of which searches do not count the documents: in about how many (present) of how
-- many (documents) a word stood when pgknowbase_word_sample last looked, at a level of pgknowbase_add_frequency_marks
-- or above. Level 0 is the word itself. Words are written as in a tsquery.
CREATE TABLE pgknowbase_word (
    source integer NOT NULL,
    word text NOT NULL,
    level smallint NOT NULL,
    documents bigint NOT NULL,
    present bigint NOT NULL,
    PRIMARY KEY (source, word, level)
);
