#!/bin/sh
# usage: inputs.sh
# Prints what apt offers today, as `name value` lines: what the images of this machine would be built from.
# Reads apt's lists only; prints nothing and fails when they are empty (apt-get update helps).
set -eu

# The metapackage of the cloud kernel in Debian, of the virtual one in Ubuntu.
for meta in linux-image-cloud-amd64 linux-image-virtual; do
    package=$(apt-cache depends --important "$meta" 2>/dev/null |
        sed -n 's/^ *Depends: \(linux-image-[0-9].*\)$/\1/p' | head -n 1)
    [ -z "$package" ] || break
done
[ -n "$package" ] || { echo "apt knows no kernel package (linux-image-cloud-amd64)" >&2; exit 3; }
version=$(apt-cache policy "$package" | sed -n 's/^ *Candidate: //p')
[ -n "$version" ] && [ "$version" != "(none)" ] || { echo "apt has no version of $package" >&2; exit 3; }

distribution=$(. /etc/os-release && echo "$ID")
suite=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
[ -n "$suite" ] || suite=stable

echo "kernel.package $package"
echo "kernel.version $version"
echo "rootfs.suite $distribution/$suite"
