#!/bin/sh
# usage: kernel.sh OUTPUT_DIR PACKAGE VERSION
# Writes OUTPUT_DIR/kernel (an ELF vmlinux, booted by PVH: 0.7 s sooner than a bzImage that unpacks itself under
# emulation; the bzImage where its compression is not known here) and OUTPUT_DIR/modules (a cpio archive with /modules/*.ko and /modules/order)
# from the distribution's own kernel package, which is unpacked and not installed.
# Progress: lines `progress kernel <n>/<m> <text>` on stdout.
set -eu
umask 022

# A field of the setup header (Documentation/x86/boot.rst): number FILE TYPE OFFSET BYTES
number() { od -An -t"$2" -j "$3" -N "$4" "$1" | tr -d ' '; }

unpack_kernel() {
    # The payload lies after the real-mode sectors; its last 4 bytes are the unpacked size and no part of the stream.
    start=$((($(number "$1" u1 497 1) + 1) * 512 + $(number "$1" u4 584 4)))
    length=$(number "$1" u4 588 4)
    case $(number "$1" x1 $start 4) in
        02214c18) unpack='lz4 -dc' ;;
        28b52ffd) unpack='zstd -dc' ;;
        fd377a58) unpack='xz -dc' ;;
        1f8b*) unpack='gzip -dc' ;;
        *) cp "$1" "$2"; return ;;
    esac
    tail -c +$((start + 1)) "$1" | head -c $((length - 4)) | $unpack >"$2"
    [ "$(number "$2" x1 0 4)" = 7f454c46 ] || cp "$1" "$2"
}

output=$1 package=$2 version=$3
recipe=$(cd "$(dirname "$0")" && pwd)
work=$output/kernel.work
mkdir -p "$work/deb" "$work/root" "$work/archive/modules"

echo "progress kernel 1/3 Downloading $package $version"
# Ubuntu keeps the modules in a package of their own.
packages="$package=$version"
modules=$(apt-cache depends --important "$package=$version" | sed -n 's/^ *Depends: \(linux-modules-[0-9].*\)$/\1/p' | head -n 1)
[ -z "$modules" ] || packages="$packages $modules"
# shellcheck disable=SC2086
(cd "$work/deb" && apt-get -q -o APT::Sandbox::User=root download $packages >&2)

echo "progress kernel 2/3 Unpacking the kernel"
for deb in "$work"/deb/*.deb; do
    dpkg-deb -x "$deb" "$work/root"
done
unpack_kernel "$work"/root/boot/vmlinuz-* "$output/kernel"

echo "progress kernel 3/3 Collecting modules"
# Below /usr/lib in newer packages. A compressed module is unpacked here, since the guest agent loads plain ones.
tree=$(find "$work/root" -type d -path '*/lib/modules/*' -name kernel | head -n 1)
sed -e 's/#.*//' -e '/^ *$/d' "$recipe/modules.txt" | while read -r name; do
    # The same module goes by - or _ in its file name.
    pattern=$(echo "$name" | sed 's/[-_]/[-_]/g')
    file=$(find "$tree" -name "$pattern.ko*" | head -n 1)
    case $file in
        '') continue ;;
        *.ko) cp "$file" "$work/archive/modules/$name.ko" ;;
        *.ko.xz) xz -dc "$file" >"$work/archive/modules/$name.ko" ;;
        *.ko.zst) zstd -qdc "$file" >"$work/archive/modules/$name.ko" ;;
        *.ko.gz) gzip -dc "$file" >"$work/archive/modules/$name.ko" ;;
        *) echo "unknown compression of $(basename "$file")" >&2; exit 1 ;;
    esac
    echo "$name.ko" >>"$work/archive/modules/order"
done
touch "$work/archive/modules/order"
"$recipe/archive.sh" "$work/archive" >"$output/modules"
rm -rf "$work"
