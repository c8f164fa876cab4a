// Package telemetry holds the nouns that cross stages: journal entries, devices of the registry, numbers, alarms,
// findings, the topics that carry them and their wire forms. It imports nothing of the project and does no I/O.
package telemetry
