#!/bin/sh
# A worker that is a shell script, and three pictures for it: a good one, a broken one, and one that arrives late.
set -eu
cd "$(dirname "$0")"
. ../beside-server.sh

convert -version 2> /dev/null | grep -q ImageMagick || { echo "This example needs ImageMagick's convert: apt install imagemagick" >&2; exit 1; }
queue=example-images
export PICTURES="${OUT:-out}/pictures" SMALL="${OUT:-out}/small"
rm -rf "$PICTURES" "$SMALL"
mkdir -p "$PICTURES" "$SMALL"
convert -size 1600x1200 gradient:navy-gold "$PICTURES/dawn.png"
echo "this is text" > "$PICTURES/broken.png"

push() { holdfast job push "$queue" "$1" --content-type text/plain; }
dawn=$(push dawn.png) broken=$(push broken.png) late=$(push late.jpg)

# The worker. A job that it puts off (exit code 75) comes again after a second.
background holdfast worker exec --queue "$queue" --concurrency 2 --timeout 1m --later 1s -- ./resize.sh

echo "dawn.png: $(holdfast job wait "$dawn")"
holdfast job wait "$broken" > /dev/null 2>&1 || echo "broken.png: $(holdfast job why "$broken")"
convert -size 900x1600 gradient:teal-white "jpeg:$PICTURES/late.new"
mv "$PICTURES/late.new" "$PICTURES/late.jpg" # half a picture would be taken for a broken one
echo "late.jpg: $(holdfast job wait "$late")"
