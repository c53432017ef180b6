# Sourced by each run.sh: a server to talk to, and an end for everything that was started.
#
# The server that answers at HOLDFAST_URL is used; that is http://127.0.0.1:4653 unless you set it. If none answers there,
# one is started at that port, with its jobs in a folder that is removed at the end.
# shellcheck shell=sh

command -v holdfast > /dev/null || PATH="$(pwd)/../../.venv/bin:$PATH" # where `make run` installs it
command -v holdfast > /dev/null || { echo "There is no holdfast here: 'make run' in the checkout installs it." >&2; exit 1; }
export PATH HOLDFAST_URL="${HOLDFAST_URL:-http://127.0.0.1:4653}"
scratch=$(mktemp -d)
started=

# background COMMAND...: run it until the example ends.
background() {
    "$@" &
    started="$! $started" # the newest first, so the server is last
}

# background_until_line COMMAND...: the same, and wait until it has printed a line, which says that it is ready.
background_until_line() {
    rm -f "$scratch/ready"
    mkfifo "$scratch/ready"
    "$@" > "$scratch/ready" &
    started="$! $started"
    read -r _ < "$scratch/ready" || { echo "$1 did not start." >&2; exit 1; }
}

finish() {
    for process in $started; do
        kill "$process" 2> /dev/null || true
        wait "$process" 2> /dev/null || true
    done
    rm -rf "$scratch"
}
trap finish EXIT
trap 'exit 130' INT TERM

answer=0
holdfast stats --deadline 1s > /dev/null 2>&1 || answer=$?
if [ "$answer" = 3 ]; then # nobody answered
    case $HOLDFAST_URL in
        http://127.0.0.1:*) background_until_line holdfast serve --port "${HOLDFAST_URL##*:}" --store "sqlite:///$scratch/jobs.db" --log-level warning ;;
        *) echo "No server answers at $HOLDFAST_URL." >&2; exit 1 ;;
    esac
fi
