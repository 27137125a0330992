-- The blocks of pgknowbase_postings and pgknowbase_rare_postings: from which number to which (pgknowbase_keywords), and which words the
-- former has: those that pgknowbase_postings_word has known since that sample or longer.
CREATE TABLE pgknowbase_postings_block (
    block bigint PRIMARY KEY, -- its first number
    last bigint NOT NULL,
    sample integer NOT NULL,
    documents integer NOT NULL, -- when it was made
    parts integer NOT NULL, -- of pgknowbase_rare_postings
    sources integer[] NOT NULL -- of its documents
);
