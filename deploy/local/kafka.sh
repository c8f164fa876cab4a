#!/usr/bin/env bash
# Apache Kafka 4.3.1, one node (KRaft), from its jars in Maven Central, for tests and demonstrations. Needs Java 17 and Maven.
#
#   kafka.sh fetch          fetch the jars into the cache: about 15 s, 50 MB
#   kafka.sh start [DIR]    start it on DIR (default: in the cache), print its bootstrap address
#   kafka.sh status [DIR]   print the address of a running one
#   kafka.sh stop [DIR]
#
# Ports: OUTFALL_KAFKA_PORT and OUTFALL_KAFKA_CONTROLLER_PORT (default: free ones). Heap: OUTFALL_KAFKA_HEAP (default 512m).
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

configure() {
	local dir=$1 port=$2 controller=$3
	cat >"$dir/server.properties" <<-CONF
		process.roles=broker,controller
		node.id=1
		listeners=PLAINTEXT://127.0.0.1:$port,CONTROLLER://127.0.0.1:$controller
		advertised.listeners=PLAINTEXT://127.0.0.1:$port,CONTROLLER://127.0.0.1:$controller
		controller.listener.names=CONTROLLER
		inter.broker.listener.name=PLAINTEXT
		listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
		controller.quorum.voters=1@127.0.0.1:$controller
		log.dirs=$dir/data
		offsets.topic.replication.factor=1
		transaction.state.log.replication.factor=1
		transaction.state.log.min.isr=1
		share.coordinator.state.topic.replication.factor=1
		share.coordinator.state.topic.min.isr=1
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
	configure "$dir" "$port" "$controller"
	if [ ! -e "$dir/data/meta.properties" ]; then
		java -cp "$cache/$name/*" kafka.tools.StorageTool format -t "$(java -cp "$cache/$name/*" kafka.tools.StorageTool random-uuid 2>/dev/null)" \
			-c "$dir/server.properties" >"$dir/log" 2>&1 || { cat "$dir/log" >&2; die "no log directory could be made in $dir"; }
	fi
	launch "$dir" java "-Xms${OUTFALL_KAFKA_HEAP:-512m}" "-Xmx${OUTFALL_KAFKA_HEAP:-512m}" -XX:+UseG1GC -Dkafka.logs.dir="$dir/logs" \
		-Dlog4j2.configurationFile="$dir/log4j2.properties" -cp "$cache/$name/*" kafka.Kafka "$dir/server.properties"
	await "$dir" 60 listens "$port"
	await "$dir" 60 answers "127.0.0.1:$port"
	echo "127.0.0.1:$port" >"$dir/address"
	status "$dir"
}

case ${1:-} in
fetch) fetch ;;
start) start "$(folder "${2:-}" kafka)" ;;
status) status "$(folder "${2:-}" kafka)" ;;
stop) halt "$(folder "${2:-}" kafka)" ;;
*) usage ;;
esac
