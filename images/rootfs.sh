#!/bin/sh
# usage: rootfs.sh OUTPUT_DIR
# Writes OUTPUT_DIR/rootfs.ext4, the base template's disk: 8 GiB, sparse. Nothing is mounted on the host.
# Packages come from where this machine's apt gets its own.
# Progress: lines `progress rootfs <n>/<m> <text>` on stdout.
set -eu
umask 022

output=$1
recipe=$(cd "$(dirname "$0")" && pwd)
work=$output/rootfs.work
root=$work/root
mkdir -p "$work"

# --- sources: those of the machine that belong to the distribution itself, one-line style
distribution=$(. /etc/os-release && echo "$ID")
case $distribution in
    ubuntu) origin=Ubuntu keyring=/usr/share/keyrings/ubuntu-archive-keyring.gpg ;;
    *) origin=Debian keyring=/usr/share/keyrings/debian-archive-keyring.gpg ;;
esac
options=arch=amd64
[ ! -f "$keyring" ] || options="$options signed-by=$keyring"
apt-get indextargets --format '$(ORIGIN)|$(REPO_URI)|$(RELEASE)|$(COMPONENT)' 'Created-By: Packages' |
    awk -F'|' -v origin="$origin" -v options="$options" \
        '$1 == origin { print "deb [" options "] " $2 " " $3 " " $4 }' | sort -u >"$work/sources.list"
[ -s "$work/sources.list" ] || { echo "apt has no package lists of $origin: run apt-get update" >&2; exit 3; }

# Proxies, credentials and the like of this machine, for the build only.
apt-config dump | grep '^Acquire::[^ ]* ".\+";$' >"$work/apt.conf" || true

packages=$(sed -e 's/#.*//' -e '/^ *$/d' "$recipe/rootfs-packages.txt" | paste -sd,)

# --- packages
# Counts what apt and dpkg report of each package (fetched, unpacked, set up). The total grows by what each run of apt
# announces, so the first lines show the smaller one.
follow() {
    awk -v tailFile="$work/tail" '
        / newly installed/ { for (i = 2; i <= NF; i++) if ($i == "newly") total += 3 * $(i - 1) }
        /^Get:/ && NF >= 9 { done++; text = "Fetching " $5 }
        /^Unpacking / { done++; text = "Unpacking " $2 }
        /^Setting up / { done++; text = "Setting up " $3 }
        done > shown {
            shown = done
            if (total < done) total = done
            print "progress rootfs " done "/" total " " text
            fflush()
        }
        { tail[NR % 20] = $0 }
        END { for (i = NR + 1; i <= NR + 20; i++) if (tail[i % 20] != "") print tail[i % 20] > tailFile }'
}
echo "progress rootfs 0/1 Resolving packages"
{ mmdebstrap --mode=root --variant=minbase --verbose --include="$packages" \
    --aptopt="$work/apt.conf" --aptopt='APT::Sandbox::User "root"' \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-include=/usr/share/doc/*/copyright' \
    --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/info/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='path-exclude=/usr/share/i18n/*' \
    --dpkgopt='path-exclude=/usr/share/lintian/*' --dpkgopt='path-exclude=/usr/share/bug/*' \
    --customize-hook='rm -f "$1"/etc/apt/apt.conf.d/99mmdebstrap' \
    '' "$root" "$work/sources.list" 2>&1 || echo $? >"$work/failed"; } | follow
if [ -f "$work/failed" ]; then
    cat "$work/tail" >&2
    exit 1
fi

# --- what a guest expects to find
echo sandglass >"$root/etc/hostname"
printf '127.0.0.1 localhost\n::1 localhost ip6-localhost\n127.0.1.1 sandglass\n' >"$root/etc/hosts"
rm -f "$root/etc/resolv.conf"
echo 'nameserver 169.254.0.22' >"$root/etc/resolv.conf"
rm -f "$root/etc/machine-id" "$root/var/lib/dbus/machine-id"
rm -rf "$root/var/log/apt" "$root/var/log/dpkg.log" "$root/var/log/bootstrap.log" "$root/var/log/alternatives.log"
rm -rf "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/* "$root"/var/cache/debconf/*-old "$root"/var/lib/dpkg/*-old
rm -rf "$root"/tmp/* "$root"/run/* "$root"/dev/*
mkdir -p "$root/var/lib/apt/lists/partial" "$root/var/cache/apt/archives/partial" "$root/workspace"

# --- disk
# Everything is initialised here, so that the guest's kernel writes nothing of its own into each clone's disk (zeroes
# become holes). A small journal: the disk survives a power cut, and a clone's log stays within 8 MiB. Features are
# spelled out since the defaults of mke2fs change.
echo "progress rootfs 0/1 Making the disk"
truncate -s 8G "$output/rootfs.ext4"
mke2fs -q -F -t ext4 -b 4096 -I 256 -m 0 -L sandglass -J size=8 \
    -O none,has_journal,ext_attr,dir_index,filetype,extent,64bit,flex_bg,sparse_super,large_file,huge_file,dir_nlink,extra_isize,metadata_csum \
    -E lazy_itable_init=0,lazy_journal_init=0,root_owner=0:0 \
    -U 5a9d61a5-5000-4000-8000-000000000001 -d "$root" "$output/rootfs.ext4"
rm -rf "$work"
echo "progress rootfs 1/1 Base disk ready"
