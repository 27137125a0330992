-- One new row. pgbench -n -c 16 -j 2 -T 10 -D table=catalog_article -f benchmarks/write_tax_insert.sql
\set word random(1, 1000000000)
INSERT INTO :table (title, body, views) VALUES ('Document ' || :word, repeat('word ', 100), 0);
