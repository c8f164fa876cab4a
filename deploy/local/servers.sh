#!/usr/bin/env bash
# The real servers of the integration tests: Apache Kafka, InfluxDB 1.8 and 2.7, an S3 service, a mail server and
# Alertmanager, built, fetched or installed once.
#
#   servers.sh up DIR     start them with their data in DIR and write DIR/env: `. DIR/env` exports what the tests need
#   servers.sh down DIR   stop them
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

export OUTFALL_INFLUX2_ORG=${OUTFALL_INFLUX2_ORG:-outfall} OUTFALL_INFLUX2_BUCKET=${OUTFALL_INFLUX2_BUCKET:-outfall}
export OUTFALL_INFLUX2_TOKEN=${OUTFALL_INFLUX2_TOKEN:-outfall-local-token}
export OUTFALL_S3_BUCKET=${OUTFALL_S3_BUCKET:-outfall}

up() {
	local dir=$1 kafka influx1 influx2 s3 smtp alertmanager
	kafka=$("$here/kafka.sh" start "$dir/kafka")
	influx1=$("$here/influx1.sh" start "$dir/influx1")
	influx2=$("$here/influx2.sh" start "$dir/influx2")
	s3=$("$here/s3.sh" start "$dir/s3")
	smtp=$("$here/smtp.sh" start "$dir/smtp")
	alertmanager=$("$here/alertmanager.sh" start "$dir/alertmanager")
	cat >"$dir/env.tmp" <<-ENV
		export OUTFALL_TEST_KAFKA=$kafka
		export OUTFALL_TEST_INFLUX1=$influx1
		export OUTFALL_TEST_INFLUX2=$influx2
		export OUTFALL_TEST_INFLUX2_ORG=$OUTFALL_INFLUX2_ORG
		export OUTFALL_TEST_INFLUX2_BUCKET=$OUTFALL_INFLUX2_BUCKET
		export OUTFALL_TEST_INFLUX2_TOKEN=$OUTFALL_INFLUX2_TOKEN
		export OUTFALL_TEST_S3=$s3
		export OUTFALL_TEST_S3_BUCKET=$OUTFALL_S3_BUCKET
		export OUTFALL_TEST_S3_KEYS=$dir/s3
		export OUTFALL_TEST_SMTP="$smtp"
		export OUTFALL_TEST_SMTP_DIR=$dir/smtp
		export OUTFALL_TEST_ALERTMANAGER=$alertmanager
	ENV
	mv "$dir/env.tmp" "$dir/env"
	cat "$dir/env"
}

down() {
	local server
	for server in alertmanager smtp s3 influx2 influx1 kafka; do
		"$here/$server.sh" stop "$1/$server"
	done
	rm -f "$1/env"
}

case ${1:-}:${2:+dir} in
up:dir) up "$(folder "$2" servers)" ;;
down:dir) down "$(folder "$2" servers)" ;;
*) usage ;;
esac
