// Command peers measures the gateway against its peers, in one run on one machine:
//
//	go run ./bench/peers            the whole of it, under ten minutes
//	go run ./bench/peers -quick     every server once, about a minute
//
// The yardstick is a C program that answers frames from one epoll loop and does nothing else. Each server is a process of its own on one
// core, the C load client has another; every measurement starts both afresh. The servers take turns and the order moves with every round, so
// that what else the machine does meets all of them alike. Ratios are taken within a round.
//
// It needs two cores, a C compiler (cc) and 20,000 open files. The tables go to standard output as Markdown.
package main
