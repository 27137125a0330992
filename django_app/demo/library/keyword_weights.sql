-- The words that characterise a text, by TF-IDF: frequent in this text, and rare among the documents of the index.
SELECT w.lexeme, w.positions[1], cardinality(w.positions) * ln(1 + c.documents / (f.documents + 0.5)) AS weight
FROM unnest(pgknowbase_tokenize_document_v1(%s, %s)) AS w
CROSS JOIN LATERAL (
    SELECT count(*) AS documents FROM pgknowbase_keywords AS k WHERE k.words @@ quote_literal(w.lexeme)::tsquery
) AS f
CROSS JOIN (SELECT coalesce(sum(documents), 0) + 1 AS documents FROM pgknowbase_corpus) AS c
WHERE length(w.lexeme) > 2
ORDER BY weight DESC, w.lexeme LIMIT %s
