#!/bin/sh
# A worker that sends mail by SMTP, and a program that enqueues some.
set -eu
cd "$(dirname "$0")"
. ../beside-server.sh

out=${OUT:-out}
if [ -z "${SMTP_HOST:-}" ]; then # no mail server named: the one of this example
    export SMTP_HOST=127.0.0.1 SMTP_PORT="${SMTP_PORT:-8025}"
    background_until_line python3 inbox.py "$out" "$SMTP_PORT"
fi

background python3 mail_worker.py
python3 send.py
