#!/usr/bin/env bash
# A Prometheus Alertmanager for tests: Debian's prometheus-alertmanager, with amtool.
#
#   alertmanager.sh start [DIR]    start it on DIR (default: in the cache), print its URL
#   alertmanager.sh status [DIR]   print the URL of a running one
#   alertmanager.sh stop [DIR]
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

start() {
	local dir=$1 port
	running "$dir" && { status "$dir"; return; }
	need prometheus-alertmanager prometheus-alertmanager "install prometheus-alertmanager"
	need amtool prometheus-alertmanager "install amtool"
	need curl curl "install curl"
	port=$(free_port)
	cat >"$dir/alertmanager.yml" <<-CONF
		route: {receiver: nobody}
		receivers: [{name: nobody}]
	CONF
	launch "$dir" prometheus-alertmanager --config.file="$dir/alertmanager.yml" --storage.path="$dir/data" \
		--web.listen-address="127.0.0.1:$port" --cluster.listen-address=
	await "$dir" 60 curl -fsS "http://127.0.0.1:$port/-/ready"
	echo "http://127.0.0.1:$port" >"$dir/address"
	status "$dir"
}

case ${1:-} in
start) start "$(folder "${2:-}" alertmanager)" ;;
status) status "$(folder "${2:-}" alertmanager)" ;;
stop) halt "$(folder "${2:-}" alertmanager)" ;;
*) usage ;;
esac
