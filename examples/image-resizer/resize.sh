#!/bin/sh
# Resizes one picture. `holdfast worker exec` runs this for each job: the payload, a file's name, is standard input, and what
# this prints is the job's result. The exit code says how it went: 0 done, 65 dead at once, 75 again later, others failed.
set -u
IFS= read -r name || [ -n "$name" ] || { echo "the payload names no file" >&2; exit 65; }

# Whoever may enqueue chooses the name: letters, digits and the like, so that it stays in the folder and names no format to ImageMagick.
case $name in
    "" | .* | *[!A-Za-z0-9._-]*) echo "'$name' is not a name for a picture" >&2; exit 65 ;;
    *.png) format=png ;;
    *.jpg | *.jpeg) format=jpeg ;;
    *) echo "'$name' is neither .png nor .jpg" >&2; exit 65 ;;
esac

from=${PICTURES:?}/$name to=${SMALL:?}/$name
[ -r "$from" ] || { echo "$name is not there yet" >&2; exit 75; }

# A broken picture stays broken, so no retry: the job is dead at once. Anything else may pass: a full disk, a convert that was
# killed or is not installed. (A JPEG that was cut in the middle is no error to ImageMagick; with -regard-warnings it is.)
convert "$format:$from" null:
case $? in
    0) ;;
    1) exit 65 ;; # ImageMagick can't read it, and has said why on standard error: the reason of the failure
    *) exit 75 ;;
esac
convert "$format:$from" -resize 320x320 "$format:$to.new" && mv "$to.new" "$to" || { rm -f "$to.new"; exit 75; }
printf '{"file": "%s", "bytes": %d}\n' "$name" "$(wc -c < "$to")"
