/* The peer that the gateway is measured against: one epoll loop in C that cuts frames by their length field and answers each with the
 * same 110 bytes, all answers to one read in one write. No check, no storage: what the kernel's TCP allows one core.
 *
 *   server          prints "ready 127.0.0.1:PORT" and serves until its standard input ends
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MAX_FD = 65536, READ = 65536, HEAD = 6, REST = 6, MAX_FRAME = HEAD + 9999 + REST, ACK = 110, EVENTS = 1024 };

/* A connection is a frame that has begun, and answers that the socket did not take. */
struct conn {
	char *begun, *out;
	int nbegun, nout;
};

static struct conn conns[MAX_FD];
static char in[MAX_FRAME + READ], acks[(MAX_FRAME + READ) / (HEAD + REST) * ACK];
static const char ack[] = "##0098QN=20260301000000001;ST=91;CN=9014;PW=123456;MN=010000A8900016F000169DC0;Flag=4;CP=&&"
			  "DataTime=20&&0000\r\n";
_Static_assert(sizeof ack == ACK + 1, "the answer has 110 bytes");
static int ep;

static void die(const char *what) {
	perror(what);
	exit(1);
}

static void drop(int fd) {
	free(conns[fd].begun);
	free(conns[fd].out);
	memset(&conns[fd], 0, sizeof conns[fd]);
	close(fd);
}

static void watch(int op, int fd, unsigned events) {
	struct epoll_event e = {.events = events, .data.fd = fd};
	if (epoll_ctl(ep, op, fd, &e) < 0)
		die("epoll_ctl");
}

/* put sends n bytes behind what already waits; the rest waits for EPOLLOUT. */
static int put(int fd, const char *p, int n) {
	struct conn *c = &conns[fd];
	if (c->nout == 0) {
		ssize_t w = write(fd, p, n);
		if (w < 0 && errno != EAGAIN)
			return -1;
		if (w < 0)
			w = 0;
		p += w, n -= w;
		if (n == 0)
			return 0;
		watch(EPOLL_CTL_MOD, fd, EPOLLIN | EPOLLOUT);
	}
	if (!(c->out = realloc(c->out, c->nout + n)))
		die("realloc");
	memcpy(c->out + c->nout, p, n);
	c->nout += n;
	return 0;
}

static int resume(int fd) {
	struct conn *c = &conns[fd];
	ssize_t w = write(fd, c->out, c->nout);
	if (w < 0)
		return errno == EAGAIN ? 0 : -1;
	c->nout -= w;
	memmove(c->out, c->out + w, c->nout);
	if (c->nout == 0) {
		free(c->out);
		c->out = NULL;
		watch(EPOLL_CTL_MOD, fd, EPOLLIN);
	}
	return 0;
}

/* serve reads once, as a level-triggered loop does, and answers every whole frame. */
static int serve(int fd) {
	struct conn *c = &conns[fd];
	int have = c->nbegun, at = 0, out = 0;
	memcpy(in, c->begun, have);
	ssize_t n = read(fd, in + have, READ);
	if (n <= 0)
		return n < 0 && errno == EAGAIN ? 0 : -1;
	have += n;
	while (have - at >= HEAD) {
		const char *p = in + at;
		int len = 0;
		if (p[0] != '#' || p[1] != '#')
			return -1;
		for (int i = 2; i < HEAD; i++) {
			if (p[i] < '0' || p[i] > '9')
				return -1;
			len = len * 10 + p[i] - '0';
		}
		if (have - at < HEAD + len + REST)
			break;
		at += HEAD + len + REST;
		memcpy(acks + out, ack, ACK);
		out += ACK;
	}
	if (have > at || c->begun) {
		free(c->begun);
		c->begun = NULL;
		c->nbegun = have - at;
		if (c->nbegun > 0) {
			if (!(c->begun = malloc(c->nbegun)))
				die("malloc");
			memcpy(c->begun, in + at, c->nbegun);
		}
	}
	return out > 0 ? put(fd, acks, out) : 0;
}

static void take(int ln) {
	int fd = accept4(ln, NULL, NULL, SOCK_NONBLOCK);
	if (fd < 0)
		return;
	if (fd >= MAX_FD) {
		close(fd);
		return;
	}
	int one = 1;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	watch(EPOLL_CTL_ADD, fd, EPOLLIN);
}

int main(void) {
	struct rlimit files;
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof a;
	int ln = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	if (ln < 0 || bind(ln, (void *)&a, size) < 0 || listen(ln, 4096) < 0 || getsockname(ln, (void *)&a, &size) < 0)
		die("listen");
	if ((ep = epoll_create1(0)) < 0)
		die("epoll_create1");
	watch(EPOLL_CTL_ADD, ln, EPOLLIN);
	watch(EPOLL_CTL_ADD, STDIN_FILENO, EPOLLIN);
	printf("ready 127.0.0.1:%d\n", ntohs(a.sin_port));
	fflush(stdout);
	for (;;) {
		struct epoll_event events[EVENTS];
		int n = epoll_wait(ep, events, EVENTS, -1);
		if (n < 0 && errno != EINTR)
			die("epoll_wait");
		for (int i = 0; i < n; i++) {
			int fd = events[i].data.fd;
			if (fd == STDIN_FILENO) {
				char b[64];
				if (read(fd, b, sizeof b) <= 0)
					return 0;
			} else if (fd == ln) {
				take(ln);
			} else if ((events[i].events & EPOLLOUT && resume(fd) < 0) || (events[i].events & ~EPOLLOUT && serve(fd) < 0)) {
				drop(fd);
			}
		}
	}
}
