#!/bin/sh
# A site that mails who signs up: its database is SQLite, its tasks are Holdfast's.
set -eu
cd "$(dirname "$0")"
. ../beside-server.sh

export OUT="${OUT:-$(pwd)/out}"
mkdir -p "$OUT"
rm -f "$OUT/db.sqlite3"
python3 manage.py migrate --verbosity 0
background python3 manage.py holdfast_worker --verbosity 0
python3 register.py
