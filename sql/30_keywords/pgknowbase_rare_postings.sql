-- The documents that have a word which is none of the common ones (pgknowbase_postings), for all such words of the documents of a
-- block. The words are spread over the parts of the block, whose number pgknowbase_postings_block has, a power of two, by the last bits of
-- their hash (hashtext): a row holds a dozen of words, and a search reads one row of each block for each of its words.
--
--   part      the number of parts of the block, and those bits: blocks of other numbers have other parts
--   hashes    of its words, in order
--   ends      at which place of postings those of each end
--   postings  of one word after the other: place in the block (from 0) * 2^17 + place of the source in the block's sources * 2^11 +
--             what the word adds to the score but for its weight, times 2^11 / 2.2
CREATE TABLE pgknowbase_rare_postings (
    block bigint NOT NULL,
    part integer NOT NULL,
    hashes integer[] NOT NULL,
    ends integer[] NOT NULL,
    postings integer[] NOT NULL,
    PRIMARY KEY (part, block) -- so that a word's rows are neighbours in the index
);
ALTER TABLE pgknowbase_rare_postings ALTER COLUMN postings SET STORAGE EXTERNAL;
