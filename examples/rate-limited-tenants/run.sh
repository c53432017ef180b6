#!/bin/sh
# Calls of somebody else's API, which has a limit for each tenant.
set -eu
cd "$(dirname "$0")"
. ../beside-server.sh

port=${API_PORT:-8026}
export API="http://127.0.0.1:$port"
background_until_line python3 api.py "$port"
background holdfast worker run calls:tasks --concurrency 2
python3 tenants.py
