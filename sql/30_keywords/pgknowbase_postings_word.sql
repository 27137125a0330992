-- The words that pgknowbase_postings has: the common ones of all sources together (pgknowbase_word_sample). weight: how rare the
-- word is (idf), as the blocks have it; sample: since which sample it is known with this weight.
CREATE TABLE pgknowbase_postings_word (
    word text PRIMARY KEY,
    weight real NOT NULL,
    sample integer NOT NULL
);
