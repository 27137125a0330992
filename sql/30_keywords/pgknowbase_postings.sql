-- The documents that have a common word (pgknowbase_postings_word), in blocks of up to 16,000 that pgknowbase_postings_gather_v1
-- makes: what the word adds to the score of each, in thousandths, at the place that the document's number
-- (pgknowbase_keywords) has in the block. The word '^7' stands for the source 7, whose documents all have it, with 2^20.
CREATE TABLE pgknowbase_postings (
    word text NOT NULL,
    block bigint NOT NULL,
    impacts sparsevec NOT NULL,
    PRIMARY KEY (word, block)
);
-- Compressing them saves a tenth and costs a search more than all else.
ALTER TABLE pgknowbase_postings ALTER COLUMN impacts SET STORAGE EXTERNAL;
