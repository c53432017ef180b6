# Runs a program as a hardened unit, or a container with a read-only root, does: confined.sh FOLDER PROGRAM…, in a mount namespace of its own.
#
# Nothing can be written but FOLDER, /proc has processes only, the user is a stranger, and there are no capabilities but the one to read what lies in
# somebody's home: an interpreter may be there.
set -e
folder=$1
shift
mount --make-rprivate /
awk '{print $2}' /proc/self/mounts | while read -r place; do mount -o remount,bind,ro "$place" 2> /dev/null || true; done
mount --bind "$folder" "$folder"
mount -o remount,bind,rw "$folder"
mount -t proc -o subset=pid proc /proc
exec setpriv --reuid=10001 --regid=10001 --clear-groups --no-new-privs \
  --bounding-set=-all,+dac_read_search --inh-caps=-all,+dac_read_search --ambient-caps=-all,+dac_read_search \
  env HOME=/nonexistent "$@"
