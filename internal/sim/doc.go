// Package sim is the whole pipeline in one test process: data loggers, gateway, broker, workers, sink and InfluxDB, in virtual time on a
// virtual network, with faults that a seed schedules. Ten minutes of troubles take half a second of one core. What is checked at the end of
// each seed are the invariants that ARCHITECTURE.md lists.
//
//	go test ./internal/sim                        50 seeds, 10 under the race detector
//	go test ./internal/sim -run TestSeeds -seed 7 one seed, with its schedule of faults (-log: and what the processes log)
//	make sim                                      1,000 seeds (SEEDS=, FIRST=)
//
// What is real: ingest's Intake, Session, Registry and KafkaPublisher, the barrier, stream's Worker, sinks/influx's Sink, and franz-go between
// them and kfake, the broker. What is made here: the loggers; the connections, because an event loop (package ingest/tcp) waits in the kernel,
// where virtual time cannot follow; the network, which sees every request to the broker and can hold it, lose it, lose its answer, or take
// away the process that sent it; the store of snapshots; InfluxDB. Sockets, files and HTTP have tests of their own, on the real thing.
//
// A process "crashes" by losing its network and its store at one request, at once and for good, and with them everything that it had not
// written. What is left of it in memory is told to stop and must end within its own bounds; no goroutine may outlive a seed. What a barrier has
// synced is known at every moment, so that an ack before it is seen; that the broker loses what was not synced is not simulated.
//
// The clock of a bubble (testing/synctest) moves when every goroutine waits for it, or for another one by a channel; a mutex does not count.
// franz-go holds some across requests. Its build tag "synctests" makes them channels, and so the test runs itself again with that tag.
//
// The seed fixes the schedule: what the loggers send and when, which fault comes when and at which request it bites. The order in which
// goroutines run is not fixed, so a seed that fails once may need a few runs to fail again; the checks are about results, not traces.
package sim
