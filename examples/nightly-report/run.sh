#!/bin/sh
# A report every night, and the mail that follows it; run once now, so that you need not stay up.
set -eu
cd "$(dirname "$0")"
. ../beside-server.sh

out=${OUT:-out}
export SHOP_DB="$out/shop.db" OUTBOX="$out/outbox"
mkdir -p "$OUTBOX"
python3 make_orders.py "$SHOP_DB"

background_until_line python3 report_worker.py
holdfast schedule ls

report=$(holdfast schedule run example-nightly-report) # now, in addition to its cron expression
echo "report: $(holdfast job wait "$report")"
mail=$(holdfast job get "$report" | python3 -c 'import json, sys; print(json.load(sys.stdin)["then"][0]["id"])')
file=$(holdfast job wait "$mail" | tr -d '"')
echo "mail: $file"
cat "$OUTBOX/$file"
