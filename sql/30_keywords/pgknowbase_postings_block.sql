-- The blocks of pgknowbase_postings: from which number to which (pgknowbase_keywords), and which words they have: those that
-- pgknowbase_postings_word has known since that sample or longer.
CREATE TABLE pgknowbase_postings_block (
    block bigint PRIMARY KEY, -- its first number
    last bigint NOT NULL,
    sample integer NOT NULL
);
