// Package alert tells people of the events of the topic alarms: by robots of DingTalk, WeCom and Feishu, signed webhooks, mail and Alertmanager.
//
// Several processes may have the role; one of them works, the others wait for it to go (a consumer group of which one member gets every
// partition), so that the budgets of the channels are kept. It works in three layers:
//
//	Sink       membership, reading, committing; what survives a restart is in Kafka alone
//	desk       what is to be told to whom and when: routes, silences, groups, budgets, digests, fallbacks. No I/O, no clock
//	Notifier   one request to one channel's server
//
// The topic is the queue: an event's offset is committed when every channel that it goes to has a receipt in the journal (and in the topic
// actions), and reading stops while too many events wait. A restart repeats nothing that has a receipt.
package alert
