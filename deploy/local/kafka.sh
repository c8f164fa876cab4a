#!/usr/bin/env bash
# Apache Kafka 4.3.1 (KRaft) from its jars in Maven Central, for tests and demonstrations: one node, or three on one machine. Needs Java 17
# and Maven.
#
#   kafka.sh fetch            fetch the jars into the cache: about 15 s, 50 MB
#   kafka.sh start [DIR]      start one node on DIR (default: in the cache), print its bootstrap address
#   kafka.sh start3 DIR       start three nodes on DIR/1, DIR/2 and DIR/3, with two in-sync copies of three, print their addresses
#   kafka.sh node DIR N       start the node of DIR/N again, which was killed; returns before it is ready
#   kafka.sh status [DIR]     print the address of a running one
#   kafka.sh stop [DIR]       stop one node or three
#
# Ports of one node: OUTFALL_KAFKA_PORT and OUTFALL_KAFKA_CONTROLLER_PORT (default: free ones). Heap of each: OUTFALL_KAFKA_HEAP (default
# 512m; 384m with three).
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

version=4.3.1
name=kafka-$version

copy_jars() {
	say "fetching Apache Kafka $version from Maven Central; this takes about 15 s"
	mvn -q -B -Dstyle.color=never -f "$here/pom.xml" dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory="$1"
}

fetch() {
	[ -d "$cache/$name" ] && return
	need java openjdk-17-jre-headless "install a Java runtime, version 17 or later"
	need mvn maven "install Maven"
	once "$name" copy_jars
}

# configure DIR NODE PORT CONTROLLER_PORT VOTERS COPIES: the node's settings. A dead node is given up, and its partitions move, after 6 s.
configure() {
	local dir=$1 node=$2 port=$3 controller=$4 voters=$5 copies=$6 insync=1
	[ "$copies" -lt 3 ] || insync=2
	cat >"$dir/server.properties" <<-CONF
		process.roles=broker,controller
		node.id=$node
		listeners=PLAINTEXT://127.0.0.1:$port,CONTROLLER://127.0.0.1:$controller
		advertised.listeners=PLAINTEXT://127.0.0.1:$port,CONTROLLER://127.0.0.1:$controller
		controller.listener.names=CONTROLLER
		inter.broker.listener.name=PLAINTEXT
		listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
		controller.quorum.voters=$voters
		log.dirs=$dir/data
		min.insync.replicas=$insync
		unclean.leader.election.enable=false
		broker.heartbeat.interval.ms=1000
		broker.session.timeout.ms=6000
		offsets.topic.num.partitions=8
		offsets.topic.replication.factor=$copies
		transaction.state.log.num.partitions=8
		transaction.state.log.replication.factor=$copies
		transaction.state.log.min.isr=$insync
		share.coordinator.state.topic.num.partitions=8
		share.coordinator.state.topic.replication.factor=$copies
		share.coordinator.state.topic.min.isr=$insync
		group.initial.rebalance.delay.ms=0
		auto.create.topics.enable=false
	CONF
	cat >"$dir/log4j2.properties" <<-CONF
		appender.console.type=Console
		appender.console.name=console
		appender.console.layout.type=PatternLayout
		appender.console.layout.pattern=%d %p %c{1} %m%n
		rootLogger.level=warn
		rootLogger.appenderRef.console.ref=console
	CONF
}

# format DIR CLUSTER: an empty log directory for a node of the cluster with that id.
format() {
	[ ! -e "$1/data/meta.properties" ] || return 0
	java -cp "$cache/$name/*" kafka.tools.StorageTool format -t "$2" -c "$1/server.properties" >"$1/log" 2>&1 ||
		{ cat "$1/log" >&2; die "no log directory could be made in $1"; }
}

random_id() { java -cp "$cache/$name/*" kafka.tools.StorageTool random-uuid 2>/dev/null; }

# run_node DIR HEAP
run_node() {
	launch "$1" java "-Xms$2" "-Xmx$2" -XX:+UseG1GC -Dkafka.logs.dir="$1/logs" -Dlog4j2.configurationFile="$1/log4j2.properties" \
		-cp "$cache/$name/*" kafka.Kafka "$1/server.properties"
}

# answers ADDRESS: a metadata request is answered.
answers() {
	java -Xmx128m -XX:TieredStopAtLevel=1 -cp "$cache/$name/*" org.apache.kafka.tools.TopicCommand --bootstrap-server "$1" --list
}

start() {
	local dir=$1 port controller
	running "$dir" && { status "$dir"; return; }
	fetch
	need java openjdk-17-jre-headless "install a Java runtime, version 17 or later"
	port=${OUTFALL_KAFKA_PORT:-$(free_port)} controller=${OUTFALL_KAFKA_CONTROLLER_PORT:-$(free_port)}
	configure "$dir" 1 "$port" "$controller" "1@127.0.0.1:$controller" 1
	format "$dir" "$(random_id)"
	run_node "$dir" "${OUTFALL_KAFKA_HEAP:-512m}"
	await "$dir" 60 listens "$port"
	await "$dir" 60 answers "127.0.0.1:$port"
	echo "127.0.0.1:$port" >"$dir/address"
	status "$dir"
}

start3() {
	local dir=$1 node id voters='' addresses='' ports=()
	fetch
	need java openjdk-17-jre-headless "install a Java runtime, version 17 or later"
	for node in {1..6}; do # a broker's and a controller's for each
		ports+=("$(free_port)")
	done
	[ "$(printf '%s\n' "${ports[@]}" | sort -u | wc -l)" = 6 ] || { start3 "$dir"; return; }
	for node in 1 2 3; do
		voters+=${voters:+,}$node@127.0.0.1:${ports[node + 2]}
		addresses+=${addresses:+,}127.0.0.1:${ports[node - 1]}
	done
	id=$(random_id)
	for node in 1 2 3; do
		mkdir -p "$dir/$node"
		configure "$dir/$node" "$node" "${ports[node - 1]}" "${ports[node + 2]}" "$voters" 3
		format "$dir/$node" "$id"
		start_node "$dir" "$node"
	done
	for node in 1 2 3; do
		await "$dir/$node" 120 listens "${ports[node - 1]}"
	done
	await "$dir/1" 120 answers "$addresses"
	echo "$addresses"
}

start_node() {
	[ -e "$1/$2/server.properties" ] || die "there is no node $2 in $1"
	running "$1/$2" || run_node "$1/$2" "${OUTFALL_KAFKA_HEAP:-384m}"
}

# Three nodes are killed: the last two could not leave in order, for want of a majority.
stop() {
	local node
	for node in 1 2 3; do
		running "$1/$node" || continue
		kill -9 "$(cat "$1/$node/pid")"
		rm -f "$1/$node/pid"
	done
	halt "$1"
}

case ${1:-}:${2:+dir}:${3:-} in
fetch::) fetch ;;
start:*:) start "$(folder "${2:-}" kafka)" ;;
start3:dir:) start3 "$(folder "$2" kafka)" ;;
node:dir:[123]) start_node "$(folder "$2" kafka)" "$3" ;;
status:*:) status "$(folder "${2:-}" kafka)" ;;
stop:*:) stop "$(folder "${2:-}" kafka)" ;;
*) usage ;;
esac
