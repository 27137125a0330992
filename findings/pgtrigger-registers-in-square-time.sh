#!/usr/bin/env bash
# django-pgtrigger 4.17.0 with Django 5.2.19 and psycopg 3.3.9; no server is asked. Seen 2026-11-29.
#
# Each trigger that a model declares is registered when Django starts. For each, the registry first makes a dictionary of
# all triggers by their tables, and the set of the names of all their functions, each of which is a hash. So a process
# with twice as many triggers takes four times as long for them: every command, worker and web process of the project.
#
# Guessed beforehand: a dictionary is asked whether it has the name, so that twice as many triggers take twice as long.
#
# Output seen:
#> django-pgtrigger 4.17.0
#> 50 triggers: 50 registered, 2450 reads of the registry, 1275 function names
#> 100 triggers: 100 registered, 9900 reads of the registry, 5050 function names
#> 200 triggers: 200 registered, 39800 reads of the registry, 20100 function names
set -euo pipefail
umask 022
expected=$(sed -n 's/^#> //p' "$0")
unset "${!PG@}"

work=$(mktemp -d /tmp/finding.XXXXXX)
trap 'cd / && rm -rf "$work"' EXIT
cd "$work"

python3 -m venv venv
venv/bin/pip install -qq django==5.2.19 django-pgtrigger==4.17.0 'psycopg[binary]==3.3.9'

mkdir app && touch app/__init__.py
cat >app/models.py <<'PYTHON'
import os

import pgtrigger
from django.db import models

for number in range(int(os.environ["TRIGGERS"])):
    keep = pgtrigger.Protect(name="keep", operation=pgtrigger.Delete)
    meta = type("Meta", (), {"triggers": [keep]})
    type(f"Note{number}", (models.Model,), {"__module__": __name__, "Meta": meta})
PYTHON
cat >count.py <<'PYTHON'
import os
from collections import Counter

import django
from django.conf import settings
from pgtrigger import core, registry

calls = Counter()


def counted(owner, name):
    real = getattr(owner, name)

    def call(self, *arguments):
        calls[name] += 1
        return real(self, *arguments)

    setattr(owner, name, call)


counted(registry._Registry, "__getitem__")
counted(core.Trigger, "get_pgid")
settings.configure(INSTALLED_APPS=["pgtrigger", "app"], DEFAULT_AUTO_FIELD="django.db.models.BigAutoField")
django.setup()
reads, names = calls["__getitem__"], calls["get_pgid"]
print(
    f"{os.environ['TRIGGERS']} triggers: {len(registry.registered())} registered,"
    f" {reads} reads of the registry, {names} function names"
)
PYTHON
seen=$(
    venv/bin/python -c "from importlib.metadata import version; print('django-pgtrigger', version('django-pgtrigger'))"
    for triggers in 50 100 200; do TRIGGERS=$triggers venv/bin/python count.py; done
)
echo "$seen"
diff <(echo "$expected") <(echo "$seen") >&2 || { echo "The behaviour has changed." >&2; exit 1; }
