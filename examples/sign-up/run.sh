#!/bin/sh
# One event, three queues that subscribe to it, and a worker for each.
set -eu
cd "$(dirname "$0")"
. ../beside-server.sh

# Subscriptions belong to the queues and outlive the workers: what is published while a worker is down waits for it.
for queue in example-welcome-mail example-crm example-analytics; do
    holdfast interest set "$queue" '^event$=^userSignedUp$'
done

background python3 welcome_mail.py
background python3 crm.py
background python3 analytics.py
python3 sign_up.py
