#!/usr/bin/env bash
# InfluxDB 1.8.10, built from source with Go alone, for the embedded default, tests and demonstrations.
#
#   influx1.sh fetch          build it into the cache: about 1 minute on two cores; print the program's path
#   influx1.sh start [DIR]    start it on DIR (default: in the cache), print its URL
#   influx1.sh status [DIR]   print the URL of a running one
#   influx1.sh stop [DIR]
#
# Ports: OUTFALL_INFLUX1_PORT and OUTFALL_INFLUX1_RPC_PORT (default: free ones).
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

version=1.8.10
name=influxd-$version

build() {
	say "building InfluxDB $version; this takes about a minute on two cores"
	cd "$1" # outside every module
	CGO_ENABLED=0 GOFLAGS='' GOBIN=$1 go install -ldflags "-X main.version=$version" "github.com/influxdata/influxdb/cmd/influxd@v$version"
	"$1/influxd" version
}

fetch() {
	[ -d "$cache/$name" ] && return
	need go '' "install Go (https://go.dev/dl)"
	once "$name" build
}

configure() {
	local dir=$1 port=$2 rpc=$3
	cat >"$dir/influxd.conf" <<-CONF
		reporting-disabled = true
		bind-address = "127.0.0.1:$rpc"
		[http]
		  bind-address = "127.0.0.1:$port"
		  flux-enabled = true
		  log-enabled = false
		[meta]
		  dir = "$dir/meta"
		[data]
		  dir = "$dir/data"
		  wal-dir = "$dir/wal"
		[monitor]
		  store-enabled = false
	CONF
}

start() {
	local dir=$1 port
	running "$dir" && { status "$dir"; return; }
	fetch
	need curl curl "install curl"
	port=${OUTFALL_INFLUX1_PORT:-$(free_port)}
	configure "$dir" "$port" "${OUTFALL_INFLUX1_RPC_PORT:-$(free_port)}"
	launch "$dir" "$cache/$name/influxd" -config "$dir/influxd.conf"
	await "$dir" 60 curl -fsS "http://127.0.0.1:$port/ping"
	echo "http://127.0.0.1:$port" >"$dir/address"
	status "$dir"
}

case ${1:-} in
fetch) fetch && echo "$cache/$name/influxd" ;;
start) start "$(folder "${2:-}" influx1)" ;;
status) status "$(folder "${2:-}" influx1)" ;;
stop) halt "$(folder "${2:-}" influx1)" ;;
*) usage ;;
esac
