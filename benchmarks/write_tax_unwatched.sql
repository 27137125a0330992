-- One row's unwatched column. pgbench -n -c 16 -j 2 -T 10 -D table=catalog_article -D rows=20000 -f benchmarks/write_tax_unwatched.sql
\set id random(1, :rows)
UPDATE :table SET views = views + 1 WHERE id = :id;
