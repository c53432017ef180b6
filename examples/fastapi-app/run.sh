#!/bin/sh
# A FastAPI application that enqueues, and a worker.
set -eu
cd "$(dirname "$0")"
. ../beside-server.sh

background holdfast worker run orders:tasks
python3 visit.py
