#!/usr/bin/env bash
# Runs every test on real servers: Apache Kafka, InfluxDB 1.8 and 2.7 and an S3 service are fetched and built once into the cache, a mail server and Alertmanager come from Debian; started,
# and stopped at the end. A test that was skipped fails the run: without its server it proves nothing.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

dir=$(mktemp -d "${TMPDIR:-/tmp}/outfall.XXXXXX")
stop() {
	deploy/local/servers.sh down "$dir" || true
	rm -rf "$dir"
}
trap stop EXIT

deploy/local/servers.sh up "$dir"
# shellcheck disable=SC1091
. "$dir/env"
go test -tags integration -count=1 -timeout 20m -v -run 'TestKafka|TestInflux|TestStore|TestAlert|TestEndToEnd' \
	./internal/broker ./internal/store ./stream ./sinks/influx ./sinks/alert ./cmd/outfall 2>&1 | tee "$dir/log"
if grep -q -- '--- SKIP' "$dir/log"; then
	echo "integration: a test on real servers was skipped" >&2
	exit 1
fi
for package in internal/broker internal/store stream sinks/influx sinks/alert cmd/outfall; do
	grep -q "^ok  	outfall/$package" "$dir/log" || { echo "integration: $package did not pass" >&2; exit 1; }
	! grep -q "outfall/$package.*\[no tests to run\]" "$dir/log" || { echo "integration: $package ran no test" >&2; exit 1; }
done
