-- One row's watched column. pgbench -n -c 16 -j 2 -T 10 -D table=catalog_article -D rows=20000 -f benchmarks/write_tax_watched.sql
\set id random(1, :rows)
\set word random(1, 1000000000)
UPDATE :table SET title = 'Document ' || :word WHERE id = :id;
