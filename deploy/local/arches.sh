#!/usr/bin/env bash
# arches.sh: the fold's golden test (stream/fold, TestGolden) on every architecture that outfall promises the same bytes on: the
# machine's own, and arm64, riscv64 and loong64 under qemu-user. It fails when one of them gives other digests, or was not run.
# Needs Go and qemu-user; root on Debian gets the latter by itself.
. "$(dirname "$0")/lib.sh"
[ $# = 0 ] || usage
cd "$here/../.."

need qemu-riscv64 qemu-user "install qemu-user; without it no other architecture can be tried"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# try ARCHITECTURE [EMULATOR]: builds the test for it and runs it; the log must show that the test ran.
try() {
	local arch=$1 began=$SECONDS
	GOARCH=$arch CGO_ENABLED=0 go test -c -o "$work/fold-$arch" ./stream/fold
	# In the package's folder, as "go test" does: the digests lie in its testdata.
	(cd stream/fold && "${@:2}" "$work/fold-$arch" -test.run='^TestGolden$' -test.count=1 -test.v) >"$work/log" 2>&1 ||
		{ cat "$work/log" >&2; die "$arch: the fold does not give the recorded digests"; }
	grep -q '^--- PASS: TestGolden ' "$work/log" || { cat "$work/log" >&2; die "$arch: the test did not run"; }
	say "$arch: the recorded digests, in $(grep -c '^    --- PASS: TestGolden/' "$work/log") ways ($((SECONDS - began)) s)"
}

try "$(go env GOHOSTARCH)"
while read -r arch emulator; do
	[ "$arch" = "$(go env GOHOSTARCH)" ] || try "$arch" "$emulator"
done <<-'LIST'
	amd64 qemu-x86_64
	arm64 qemu-aarch64
	riscv64 qemu-riscv64
	loong64 qemu-loongarch64
LIST
