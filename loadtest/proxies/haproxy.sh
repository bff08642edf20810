#!/usr/bin/env bash
# How does a newer HAProxy than the installed one come onto this machine, beside it?
#
#   loadtest/proxies/haproxy.sh SUITE FOLDER
#
# Takes HAProxy and the libraries that it needs from another suite of Debian (`trixie`, `sid`) through apt, and makes the program
# use these libraries and no others: the machine's own stay as they are. The program is FOLDER/haproxy.
set -euo pipefail

suite=$1
place=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/lists/partial" "$work/archives/partial" "$work/root" "$place"
# From where this machine's own packages come.
mirror=$(apt-get indextargets --format '$(LABEL) $(REPO_URI)' 'Created-By: Packages' | awk '$1 == "Debian" { print $2; exit }')
[[ -n $mirror ]] || { echo "haproxy: apt knows no mirror of Debian" >&2; exit 1; }
echo "deb $mirror $suite main" >"$work/sources.list"
options=(-o Dir::Etc::sourcelist="$work/sources.list" -o Dir::Etc::sourceparts=- -o Dir::State::lists="$work/lists" -o Dir::State::status=/dev/null
    -o Dir::Cache="$work" -o APT::Sandbox::User=root)
apt-get "${options[@]}" update -qq
# What would be installed on a machine that has nothing, without what only its packaging needs.
packages=$(apt-cache "${options[@]}" depends --recurse --no-recommends --no-suggests --no-conflicts --no-breaks --no-replaces --no-enhances haproxy |
    grep -oE '^(haproxy|lib[a-z0-9.+-]+|zlib1g)$' | sort -u)
# shellcheck disable=SC2086
(cd "$work/archives" && apt-get "${options[@]}" download -qq $packages)
for package in "$work"/archives/*.deb; do dpkg -x "$package" "$work/root"; done
mapfile -t libraries < <(find "$work/root" -name '*.so*' -path '*x86_64-linux-gnu*' -not -path '*/gconv/*' \( -type f -o -type l \))
rm -rf "$place/lib"
mkdir "$place/lib"
cp -L "${libraries[@]}" "$place/lib/" 2>/dev/null || true
cp "$work/root/usr/sbin/haproxy" "$place/haproxy.new"
patchelf --set-interpreter "$place/lib/ld-linux-x86-64.so.2" --force-rpath --set-rpath "$place/lib" "$place/haproxy.new"
mv "$place/haproxy.new" "$place/haproxy"
"$place/haproxy" -v >/dev/null
