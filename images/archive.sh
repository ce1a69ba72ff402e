#!/bin/sh
# usage: archive.sh DIRECTORY > ARCHIVE
# A cpio archive of the directory, as the kernel wants it; the same bytes for the same content.
set -eu
cd "$1"
find . -exec touch -h -d @0 {} +
find . ! -name . | sed 's|^\./||' | LC_ALL=C sort | cpio --quiet -o -H newc -R 0:0 --reproducible
