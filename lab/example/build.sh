#!/bin/sh
# Builds a driver in C with MinGW: sh lab/example/build.sh OUTPUT.sys [SOURCE.c]
set -eu
here=$(dirname "$0")
out=${1:?usage: build.sh OUTPUT.sys [SOURCE.c]}
source=${2:-$here/callout.c}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

x86_64-w64-mingw32-dlltool -m i386:x86-64 -d "$here/fwpkclnt.def" -l "$work/libfwpkclnt.a"
x86_64-w64-mingw32-gcc -std=c11 -O2 -Wall -Wextra -Werror -Wno-multichar \
    -isystem /usr/x86_64-w64-mingw32/include/ddk \
    -shared -nostdlib -Wl,--subsystem,native -Wl,--entry,DriverEntry \
    -o "$out" "$source" -L"$work" -lfwpkclnt -lntoskrnl
