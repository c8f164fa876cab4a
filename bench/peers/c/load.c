/* The load client: one epoll loop in C that plays many loggers, each on its own connection with its own frame, and prints what came
 * of it as one line of JSON.
 *
 *   load ADDR PORT SERVER_PID BROKER_PID FRAMES FRAME_BYTES CONNS closed WINDOW WARM_MS RUN_MS
 *        WINDOW frames of each connection wait for their answers; as many as were answered by one read are sent by one write
 *   load ADDR PORT SERVER_PID BROKER_PID FRAMES FRAME_BYTES CONNS open RATE WARM_MS RUN_MS
 *        RATE frames/s over all connections on a fixed schedule; the latency of an answer runs from when its frame was due
 *   load ADDR PORT SERVER_PID BROKER_PID FRAMES FRAME_BYTES CONNS idle
 *        one frame each, then prints "idle" and holds the connections until its standard input ends
 *
 * BROKER_PID is 0 where the server has no broker in another process. FRAMES holds CONNS frames of FRAME_BYTES each. Connections leave from 127.1.x.y, fifty from each address, as no field is behind one.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { READ = 65536, HEAD = 6, REST = 6, EVENTS = 1024, PER_SOURCE = 50, DUE = 32, MAX_WINDOW = 1024, DRAIN_MS = 10000 };

struct conn {
	int fd;
	int left;           /* bytes of the answer that has begun; 0: its head comes next */
	int nhead;          /* of them that have come */
	char head[HEAD];
	unsigned sent, got; /* open loop: frames, whose due times stand in due[x % DUE] */
	int64_t due[DUE];
};

static struct conn *conns;
static int nconns, frame_bytes, ep, server_pid, broker_pid;
static const char *frames;
static char in[READ];

static void die(const char *what) {
	fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void fail(const char *why) {
	fprintf(stderr, "load: %s\n", why);
	exit(1);
}

static int64_t now(void) {
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

/* Processor seconds of a process, all its threads, in the kernel's 10 ms ticks. */
static double cpu_of(int pid) {
	char path[64], text[1024];
	snprintf(path, sizeof path, "/proc/%d/stat", pid);
	FILE *f = fopen(path, "r");
	if (!f)
		die(path);
	size_t n = fread(text, 1, sizeof text - 1, f);
	fclose(f);
	text[n] = 0;
	char *p = strrchr(text, ')');
	unsigned long user, sys;
	if (!p || sscanf(p + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &sys) != 2)
		fail("cannot read the processor time of a process");
	return (double)(user + sys) / sysconf(_SC_CLK_TCK);
}

/* Seconds that the cores were not idle, or given to others by the hypervisor. */
static double all_cpu(void) {
	char text[1024];
	FILE *f = fopen("/proc/stat", "r");
	if (!f)
		die("/proc/stat");
	size_t n = fread(text, 1, sizeof text - 1, f);
	fclose(f);
	text[n] = 0;
	unsigned long user, nice, sys, irq, soft, steal;
	if (sscanf(text, "cpu %lu %lu %lu %*u %*u %lu %lu %lu", &user, &nice, &sys, &irq, &soft, &steal) != 6)
		fail("cannot read the time of the cores");
	return (double)(user + nice + sys + irq + soft + steal) / sysconf(_SC_CLK_TCK);
}

static double own_cpu(void) {
	struct rusage u;
	getrusage(RUSAGE_SELF, &u);
	return u.ru_utime.tv_sec + u.ru_stime.tv_sec + (u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

/* What the cores had done when measuring began. */
static double server_before, broker_before, own_before, all_before;

static double broker_cpu(void) { return broker_pid ? cpu_of(broker_pid) : 0; }

static void begin_cpu(void) {
	server_before = cpu_of(server_pid), broker_before = broker_cpu(), own_before = own_cpu(), all_before = all_cpu();
}

/* "others" is what took the cores from this measurement: other programs, and the hypervisor. */
static void print_cpu(void) {
	double server = cpu_of(server_pid) - server_before, broker = broker_cpu() - broker_before, own = own_cpu() - own_before;
	printf("\"server_cpu\":%.3f,\"client_cpu\":%.3f,\"others_cpu\":%.3f", server, own, all_cpu() - all_before - server - broker - own);
}

/* The latencies: buckets of 1/64 of their value. */
enum { SUB = 64, SHIFT = 6, BUCKETS = 64 * SUB };
static uint64_t histogram[BUCKETS], latencies;
static int64_t worst;

static void record(int64_t ns) {
	uint64_t v = ns > 0 ? ns : 0;
	int e = v < SUB ? 0 : 63 - __builtin_clzll(v) - SHIFT + 1;
	int at = e == 0 ? (int)v : e * SUB + (int)(v >> (e - 1)) - SUB;
	histogram[at]++;
	latencies++;
	if (ns > worst)
		worst = ns;
}

static double quantile_ms(double q) {
	uint64_t want = (uint64_t)(q * latencies), seen = 0;
	for (int i = 0; i < BUCKETS; i++)
		if ((seen += histogram[i]) > want) {
			int e = i / SUB;
			uint64_t v = e == 0 ? (uint64_t)i : (uint64_t)(i % SUB + SUB + 1) << (e - 1);
			return v / 1e6;
		}
	return worst / 1e6;
}

static void send_frames(int i, int n) {
	struct iovec v[MAX_WINDOW];
	for (int k = 0; k < n; k++)
		v[k] = (struct iovec){(void *)(frames + (size_t)i * frame_bytes), frame_bytes};
	ssize_t w = writev(conns[i].fd, v, n);
	if (w < 0)
		die("send");
	if (w != (ssize_t)n * frame_bytes)
		fail("a socket took a part of its frames only: the window is too large");
}

/* answers reads once and returns how many frames ended in what came. */
static int answers(struct conn *c) {
	ssize_t n = read(c->fd, in, READ);
	int whole = 0;
	if (n == 0)
		fail("the server closed a connection");
	if (n < 0) {
		if (errno == EAGAIN)
			return 0;
		die("receive");
	}
	for (char *p = in, *end = in + n; p < end;) {
		if (c->left > 0) {
			int k = end - p < c->left ? (int)(end - p) : c->left;
			p += k;
			if ((c->left -= k) == 0)
				whole++;
			continue;
		}
		c->head[c->nhead++] = *p++;
		if (c->nhead == HEAD) {
			c->nhead = 0;
			c->left = REST;
			int len = 0;
			for (int i = 2; i < HEAD; i++)
				len = len * 10 + c->head[i] - '0';
			if (c->head[0] != '#' || c->head[1] != '#' || len < 0 || len > 9999)
				fail("the server answers with something that is no frame");
			c->left += len;
		}
	}
	return whole;
}

static void connect_all(const char *host, int port) {
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
	if (inet_pton(AF_INET, host, &to.sin_addr) != 1)
		fail("the address is not IPv4");
	for (int i = 0; i < nconns; i++) {
		int s = i / PER_SOURCE, one = 1, fd = socket(AF_INET, SOCK_STREAM, 0);
		struct sockaddr_in from = {.sin_family = AF_INET};
		from.sin_addr.s_addr = htonl(127u << 24 | 1u << 16 | (unsigned)(s / 250) << 8 | (unsigned)(1 + s % 250));
		/* A reset at the end leaves no TIME_WAIT behind for the next run. */
		struct linger reset = {1, 0};
		if (fd < 0)
			die("socket");
		setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
		if (bind(fd, (void *)&from, sizeof from) < 0 || connect(fd, (void *)&to, sizeof to) < 0)
			die("connect");
		fcntl(fd, F_SETFL, O_NONBLOCK);
		struct epoll_event e = {.events = EPOLLIN, .data.u32 = i};
		if (epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e) < 0)
			die("epoll_ctl");
		conns[i].fd = fd;
	}
}

static int wait_events(struct epoll_event *events, int64_t until) {
	int64_t ns = until - now();
	if (ns > 0) {
		struct pollfd p = {ep, POLLIN, 0};
		struct timespec t = {ns / 1000000000, ns % 1000000000};
		ppoll(&p, 1, &t, NULL);
	}
	int n = epoll_wait(ep, events, EVENTS, 0);
	if (n < 0 && errno != EINTR)
		die("epoll_wait");
	return n < 0 ? 0 : n;
}

/* introduce sends one frame on each connection and waits for all answers, so that every session is warm. */
static void introduce(void) {
	struct epoll_event events[EVENTS];
	int64_t end = now() + 60000000000LL;
	int next = 0, got = 0;
	while (got < nconns) {
		for (; next < nconns && next - got < 512; next++)
			send_frames(next, 1);
		int n = wait_events(events, now() + 100000000);
		for (int i = 0; i < n; i++)
			got += answers(&conns[events[i].data.u32]);
		if (now() > end)
			fail("not every connection got an answer within a minute");
	}
}

static void closed_loop(int window, int64_t warm, int64_t run) {
	struct epoll_event events[EVENTS];
	int64_t begin = now() + warm, end = begin + run, t;
	uint64_t got = 0;
	int64_t from = 0;
	for (int i = 0; i < nconns; i++)
		send_frames(i, window);
	while ((t = now()) < end) {
		if (from == 0 && t >= begin) {
			from = t, got = 0;
			begin_cpu();
		}
		int n = wait_events(events, end);
		for (int i = 0; i < n; i++) {
			int k = answers(&conns[events[i].data.u32]);
			got += k;
			if (k > 0)
				send_frames(events[i].data.u32, k);
		}
	}
	if (from == 0)
		fail("the loop was stuck for the whole run");
	t = now();
	printf("{\"frames\":%llu,\"seconds\":%.4f,", (unsigned long long)got, (t - from) / 1e9);
	print_cpu();
	printf("}\n");
}

static void open_loop(int64_t rate, int64_t warm, int64_t run) {
	struct epoll_event events[EVENTS];
	int64_t start = now() + 10000000, begin = start + warm, end = begin + run, t, worst_late = 0;
	uint64_t k = 0, measured = 0, skipped = 0, late = 0, total = (uint64_t)((warm + run) / 1e9 * rate);
	int counting = 0;
	while ((t = now()) < end + DRAIN_MS * 1000000LL && (k < total || latencies < measured)) {
		if (!counting && t >= begin) {
			counting = 1;
			begin_cpu();
		}
		int64_t due = 0;
		for (; k < total && (due = start + (int64_t)(k * 1e9 / rate)) <= t; k++) {
			struct conn *c = &conns[k % nconns];
			if (c->sent - c->got == DUE) {
				skipped++;
				continue;
			}
			c->due[c->sent++ % DUE] = due;
			send_frames(k % nconns, 1);
			if (due < begin)
				continue;
			measured++;
			int64_t behind = now() - due;
			late += behind > 1000000;
			if (behind > worst_late)
				worst_late = behind;
		}
		int n = wait_events(events, k < total ? due : t + 10000000);
		for (int i = 0; i < n; i++) {
			struct conn *c = &conns[events[i].data.u32];
			int m = answers(c);
			t = now();
			for (; m > 0; m--) {
				if (c->got == c->sent)
					fail("more answers than frames");
				int64_t d = c->due[c->got++ % DUE];
				if (d >= begin)
					record(t - d);
			}
		}
	}
	if (latencies < measured)
		fail("frames were not answered within ten seconds after the run");
	printf("{\"frames\":%llu,\"seconds\":%.4f,", (unsigned long long)measured, run / 1e9);
	print_cpu();
	printf(",\"p50\":%.3f,\"p90\":%.3f,\"p99\":%.3f,\"p999\":%.3f,\"max\":%.3f", quantile_ms(.5), quantile_ms(.9), quantile_ms(.99),
	       quantile_ms(.999), worst / 1e6);
	printf(",\"late\":%llu,\"worst_late\":%.3f,\"skipped\":%llu}\n", (unsigned long long)late, worst_late / 1e6,
	       (unsigned long long)skipped);
}

static long number(const char *s) {
	char *end;
	long v = strtol(s, &end, 10);
	if (*s == 0 || *end != 0 || v < 0)
		fail("a number is expected");
	return v;
}

int main(int argc, char **argv) {
	if (argc < 9)
		fail("arguments: ADDR PORT SERVER_PID BROKER_PID FRAMES FRAME_BYTES CONNS MODE ...");
	server_pid = number(argv[3]), broker_pid = number(argv[4]), frame_bytes = number(argv[6]), nconns = number(argv[7]);
	int fd = open(argv[5], O_RDONLY);
	frames = mmap(NULL, (size_t)nconns * frame_bytes, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0);
	if (fd < 0 || frames == MAP_FAILED)
		die(argv[5]);
	close(fd);
	prctl(PR_SET_TIMERSLACK, 1);
	struct rlimit files;
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	if (!(conns = calloc(nconns, sizeof *conns)) || (ep = epoll_create1(0)) < 0)
		die("start");
	connect_all(argv[1], number(argv[2]));
	introduce();
	if (!strcmp(argv[8], "idle")) {
		char b[64];
		printf("idle\n");
		fflush(stdout);
		while (read(STDIN_FILENO, b, sizeof b) > 0)
			;
		return 0;
	}
	if (argc < 12)
		fail("arguments: ... closed WINDOW WARM_MS RUN_MS or ... open RATE WARM_MS RUN_MS");
	int64_t v = number(argv[9]), warm = number(argv[10]) * 1000000LL, run = number(argv[11]) * 1000000LL;
	if (!strcmp(argv[8], "open"))
		open_loop(v, warm, run);
	else if (v > MAX_WINDOW)
		fail("WINDOW is above 1024");
	else
		closed_loop(v, warm, run);
	return 0;
}
