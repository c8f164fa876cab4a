#!/usr/bin/env bash
# Makes the fixture of TestUpgrade with the program as it was at a commit:
#
#   make.sh COMMIT FILE.tar.gz
#
# FILE.tar.gz holds journal.jsonl, the journal as the commit's worker found it, and snapshots/, what it left behind when it was
# stopped two thirds on. make_test.go.txt runs among the commit's own tests and is written against them: for another commit it may
# need a change.
set -euo pipefail
commit=$1 out=$(realpath "$2")
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
(cd "$(git -C "$here" rev-parse --show-toplevel)" && git archive "$commit") >"$tmp/tree.tar"
mkdir "$tmp/tree" "$tmp/fixture"
tar -x -C "$tmp/tree" -f "$tmp/tree.tar"
cp "$here/make_test.go.txt" "$tmp/tree/stream/make_upgrade_test.go"
(cd "$tmp/tree" && OUTFALL_TEST_FIXTURE=$tmp/fixture go test -count=1 -run '^TestMakeUpgradeFixture$' ./stream)
tar -C "$tmp/fixture" --sort=name --owner=0 --group=0 --mtime=@0 -cf - journal.jsonl snapshots | gzip -9n >"$out"
ls -l "$out"
