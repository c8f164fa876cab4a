#!/usr/bin/env bash
# InfluxDB 2.7.12 for tests and demonstrations, built from source: about 5 minutes on two cores, once.
#
#   influx2.sh fetch          build it into the cache
#   influx2.sh start [DIR]    start it on DIR (default: in the cache), set it up, print its URL
#   influx2.sh status [DIR]   print the URL of a running one
#   influx2.sh stop [DIR]
#
# Organisation, bucket and token of a new DIR: OUTFALL_INFLUX2_ORG, _BUCKET, _TOKEN. Port: OUTFALL_INFLUX2_PORT (default: a free one).
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

version=2.7.12
pkgconfig=0.2.14
name=influxdb-$version
org=${OUTFALL_INFLUX2_ORG:-outfall} bucket=${OUTFALL_INFLUX2_BUCKET:-outfall} token=${OUTFALL_INFLUX2_TOKEN:-outfall-local-token}

build() {
	local out=$1 src=$1/src bin=$1/bin module
	say "building InfluxDB $version; this takes about 5 minutes on two cores, and needs Go, gcc and Rust"
	mkdir "$bin"
	cd "$out" # outside every module
	module=$(GOFLAGS='' go mod download -json "github.com/influxdata/influxdb/v2@v$version" | sed -n 's/^\t"Dir": "\(.*\)",*$/\1/p')
	GOFLAGS='' GOBIN=$bin go install "github.com/influxdata/pkg-config@v$pkgconfig"
	# The module has replace directives, which `go install` refuses: build a writable copy as the main module.
	cp -r "$module" "$src"
	chmod -R u+w "$src"
	# libflux forbids the lints of the Rust of its day; those of a newer one stop it. pkg-config gives cargo a copy of the
	# sources as working directory, so the feature can be taken out there.
	cat >"$bin/cargo-lenient" <<-'WRAPPER'
		#!/bin/sh
		for f in flux-core/Cargo.toml flux/Cargo.toml; do
			[ ! -f "$f" ] || sed -i '/^default *=/ { s/"strict" *, *//; s/, *"strict"//; s/"strict"//; }' "$f"
		done
		exec cargo "$@"
	WRAPPER
	chmod +x "$bin/cargo-lenient"
	cd "$src"
	# A RUSTUP_TOOLCHAIN overrides the toolchain that the crate pins and that may not be installed.
	GOFLAGS=-mod=mod CARGO=$bin/cargo-lenient RUSTUP_TOOLCHAIN=${RUSTUP_TOOLCHAIN:-stable} \
		PATH=$bin:$PATH PKG_CONFIG=$bin/pkg-config \
		go build -tags 'sqlite_foreign_keys,sqlite_json,noasset' -ldflags "-X main.version=$version" -o "$out/influxd" ./cmd/influxd
	cd "$out"
	"$out/influxd" version
	chmod -R u+w "$src" "$bin"
	rm -rf "$src" "$bin"
}

fetch() {
	[ -d "$cache/$name" ] && return
	need go '' "install Go (https://go.dev/dl)"
	need gcc gcc "install a C compiler"
	need cargo '' "install Rust (https://rustup.rs)"
	need pkg-config pkg-config "install pkg-config"
	once "$name" build
}

start() {
	local dir=$1 port url
	running "$dir" && { status "$dir"; return; }
	fetch
	need curl curl "install curl"
	port=${OUTFALL_INFLUX2_PORT:-$(free_port)}
	url=http://127.0.0.1:$port
	launch "$dir" "$cache/$name/influxd" run --bolt-path "$dir/influxd.bolt" --sqlite-path "$dir/influxd.sqlite" \
		--engine-path "$dir/engine" --http-bind-address "127.0.0.1:$port" --reporting-disabled
	await "$dir" 60 curl -fsS "$url/health"
	if curl -fsS "$url/api/v2/setup" | grep -q '"allowed": *true'; then
		curl -fsS -o /dev/null -H 'Content-Type: application/json' "$url/api/v2/setup" -d "{\"username\":\"outfall\",
			\"password\":\"outfall-local\",\"org\":\"$org\",\"bucket\":\"$bucket\",\"token\":\"$token\",\"retentionPeriodSeconds\":0}"
	fi
	curl -fsS -o /dev/null -H "Authorization: Token $token" "$url/api/v2/buckets?org=$org&name=$bucket" ||
		{ halt "$dir"; die "$dir was set up with another token, organisation or bucket"; }
	echo "$url" >"$dir/address"
	status "$dir"
}

case ${1:-} in
fetch) fetch ;;
start) start "$(folder "${2:-}" influx2)" ;;
status) status "$(folder "${2:-}" influx2)" ;;
stop) halt "$(folder "${2:-}" influx2)" ;;
*) usage ;;
esac
