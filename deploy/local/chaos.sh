#!/usr/bin/env bash
# The kill tests, KILLS times kill -9 (default 200) in each of two ways under load: everything in one process with its influxd; and ingest, two
# workers, a sink and the nodes of a three-node Apache Kafka. At the end no acknowledged frame may be lost, a replay of the whole journal must
# give the outputs that were published, and InfluxDB must hold each point once, as published last. SEED repeats the moments of an earlier run,
# ONLY=Embedded or ONLY=ThreeNodes runs one of the two.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

dir=$(mktemp -d "${TMPDIR:-/tmp}/outfall.XXXXXX")
stop() {
	deploy/local/influx1.sh stop "$dir/influx1" || true
	deploy/local/kafka.sh stop "$dir/kafka" || true
	rm -rf "$dir"
}
trap stop EXIT

if [ "${ONLY:-ThreeNodes}" = ThreeNodes ]; then
	OUTFALL_TEST_KAFKA3=$(deploy/local/kafka.sh start3 "$dir/kafka")
	OUTFALL_TEST_INFLUX1=$(deploy/local/influx1.sh start "$dir/influx1")
	export OUTFALL_TEST_KAFKA3 OUTFALL_TEST_INFLUX1 OUTFALL_TEST_KAFKA3_DIR=$dir/kafka
fi
export OUTFALL_TEST_KILLS=${KILLS:-200} OUTFALL_TEST_SEED=${SEED:-}
go test -tags 'integration soak' -count=1 -timeout 4h -v -run "^TestChaos${ONLY:-}" ./cmd/outfall
