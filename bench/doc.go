// Package bench plays the field side of HJ 212: virtual data loggers (数采仪) that behave as real ones do after an outage, the fleet of them
// that the demo and the kill tests run, and the player of captured frames.
//
// What a logger sends is a pure function of its device, the seed and the start time: values come from integer arithmetic, QN from the
// schedule and never from the clock. A slot that is sent again, after any outage, therefore has the same bytes, and nothing has to be kept
// but the frames that wait for their 9014. Only what a host asks for, beyond that, is of the moment: answers, and the QN of records that it
// recalls.
package bench
