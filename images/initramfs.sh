#!/bin/sh
# usage: initramfs.sh OUTPUT_DIR MODULES GUEST_AGENT
# Writes OUTPUT_DIR/initramfs: the modules' archive followed by one with the guest agent as /init (the kernel unpacks
# both), so that a new agent needs no new kernel.
# Progress: lines `progress initramfs <n>/<m> <text>` on stdout.
set -eu
umask 022

output=$1 modules=$2 agent=$3
recipe=$(cd "$(dirname "$0")" && pwd)
work=$output/initramfs.work

echo "progress initramfs 1/1 Packing the guest agent"
mkdir -p "$work"
install -m 0755 "$agent" "$work/init"
"$recipe/archive.sh" "$work" >"$output/initramfs.agent"
cat "$modules" "$output/initramfs.agent" >"$output/initramfs"
rm -rf "$work" "$output/initramfs.agent"
