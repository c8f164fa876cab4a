#!/usr/bin/env bash
# An S3-compatible service for tests and demonstrations: Versity S3 Gateway 1.8.0 over a folder, built from source with Go alone.
#
#   s3.sh fetch          build it into the cache: about 2 minutes on two cores; print the program's path
#   s3.sh start [DIR]    start it on DIR (default: in the cache), print its URL. DIR/access_key and DIR/secret_key hold the credentials
#   s3.sh status [DIR]   print the URL of a running one
#   s3.sh stop [DIR]
#
# Its bucket: OUTFALL_S3_BUCKET (default: outfall). Port: OUTFALL_S3_PORT (default: a free one).
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

version=1.8.0
name=versitygw-$version
bucket=${OUTFALL_S3_BUCKET:-outfall}

build() {
	say "building Versity S3 Gateway $version; this takes about 2 minutes on two cores"
	cd "$1" # outside every module
	CGO_ENABLED=0 GOFLAGS='' GOBIN=$1 go install -trimpath "github.com/versity/versitygw/cmd/versitygw@v$version"
	"$1/versitygw" --version
}

fetch() {
	[ -d "$cache/$name" ] && return
	need go '' "install Go (https://go.dev/dl)"
	once "$name" build
}

start() {
	local dir=$1 port
	running "$dir" && { status "$dir"; return; }
	fetch
	need curl curl "install curl"
	port=${OUTFALL_S3_PORT:-$(free_port)}
	mkdir -p "$dir/objects/$bucket" # a folder is a bucket
	(umask 077 && echo outfall-local >"$dir/access_key" && echo outfall-local-secret >"$dir/secret_key")
	ROOT_ACCESS_KEY_ID=$(cat "$dir/access_key") ROOT_SECRET_ACCESS_KEY=$(cat "$dir/secret_key") \
		launch "$dir" "$cache/$name/versitygw" --port "127.0.0.1:$port" --keep-alive --quiet posix "$dir/objects"
	await "$dir" 60 curl -sS -o /dev/null "http://127.0.0.1:$port/"
	echo "http://127.0.0.1:$port" >"$dir/address"
	status "$dir"
}

case ${1:-} in
fetch) fetch && echo "$cache/$name/versitygw" ;;
start) start "$(folder "${2:-}" s3)" ;;
status) status "$(folder "${2:-}" s3)" ;;
stop) halt "$(folder "${2:-}" s3)" ;;
*) usage ;;
esac
