// Command engine measures the stream engine as it is installed, on real processes, files and brokers:
//
//	make bench-engine            about a quarter of an hour
//	make bench-engine QUICK=1    smaller and shorter, under three minutes, rough
//
// The processes are bin/outfall as this source builds it: "run" on the embedded broker, "serve" on a one-node Apache Kafka. An HTTP server that
// takes everything stands for InfluxDB. This program plays the devices and reads the alarms. All of it shares the machine's cores.
//
//	alarm     minute for minute real-time frames at a fixed rate, open loop, some over an instant limit: from when a frame was due to its
//	          answer, and to when a consumer has the alarm; embedded with the durability barrier, and on Kafka in both modes of stream.eos
//	snapshot  the same on a worker with many devices, told apart by whether the partition's snapshot is being written
//	ready     kill -9 of that worker under load: from its start to ready again
//	drain     a journal that is there when the worker starts, embedded and on Kafka
//	replay    a day of a province's frames by "outfall replay", from the embedded journal and its archive
//
// It needs two cores and Java 17; the broker comes from deploy/local/kafka.sh. The tables go to standard output as Markdown.
package main
