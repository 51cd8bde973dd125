#!/usr/bin/env bash
# Sets everything up, then codes and decodes a photograph: scripts/demo.sh [PHOTO]
# Without PHOTO it takes scikit-image's astronaut (NASA, public domain).
set -euo pipefail

photo=${1:+$(realpath "$1")}
cd "$(dirname "$0")/.."
. scripts/environment.sh
prepare_environment demo

if [ -z "$photo" ]; then
    photo=$(.venv/bin/python -c \
        'from importlib.resources import files; print(files("skimage") / "data" / "astronaut.png")')
fi
name=$(basename "$photo")
name=${name%.*}
mkdir -p runs/demo
coded=runs/demo/$name.bsq
decoded=runs/demo/$name.png

.venv/bin/bsqcodec encode "$photo" -o "$coded" --force
.venv/bin/bsqcodec info "$coded"
.venv/bin/bsqcodec decode "$coded" -o "$decoded" --force

echo
echo "original  $photo"
echo "coded     $PWD/$coded"
echo "decoded   $PWD/$decoded"
