// HTTP/1.1 requests at a constant rate on keep-alive connections: rate PORT RATE SECONDS CONNECTIONS
//
// Every request has a time at which it is due, whatever became of those before it, and its latency counts from then: a
// stall of the server is seen by all requests that were due in it (no coordinated omission). The first tenth is warming
// up and not counted. Prints one line of JSON: requests, p50, p99 and max in microseconds.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { ROOM = 16384, MOST = 1024 };

struct conn {
  int fd;
  int64_t due;
  size_t have;
  char bytes[ROOM + 1];
};

static const char request[] = "GET /service0/items/0/tiny HTTP/1.1\r\nHost: api0.bench.example\r\n\r\n";
static struct conn conns[MOST];
static int ring[MOST], ring_first, ring_count;

static void die(const char *what) {
  fprintf(stderr, "rate: %s: %s\n", what, strerror(errno));
  exit(1);
}

static int64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static void give_back(int i) { ring[(ring_first + ring_count++) % MOST] = i; }

static int take(void) {
  int i = ring[ring_first];
  ring_first = (ring_first + 1) % MOST;
  ring_count--;
  return i;
}

static void open_conn(int poll, int i, int port) {
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof to) < 0) die("connect");
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  struct epoll_event event = {.events = EPOLLIN, .data.u32 = (uint32_t)i};
  if (epoll_ctl(poll, EPOLL_CTL_ADD, fd, &event) < 0) die("epoll_ctl");
  conns[i].fd = fd;
  give_back(i);
}

// 1: a whole answer 200 is there.
static int whole(const struct conn *c) {
  const char *end = strstr(c->bytes, "\r\n\r\n");
  if (end == NULL) return 0;
  if (strncmp(c->bytes, "HTTP/1.1 200", 12) != 0) {
    fprintf(stderr, "rate: %.60s\n", c->bytes);
    exit(1);
  }
  const char *length = strcasestr(c->bytes, "\r\ncontent-length:");
  if (length == NULL || length > end) {
    fprintf(stderr, "rate: an answer without a length\n");
    exit(1);
  }
  return c->have >= (size_t)(end + 4 - c->bytes) + strtoul(length + 17, NULL, 10);
}

static int compare(const void *a, const void *b) {
  int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
  return (x > y) - (x < y);
}

int main(int argc, char **argv) {
  if (argc != 5) {
    fprintf(stderr, "usage: rate PORT RATE SECONDS CONNECTIONS\n");
    return 1;
  }
  int port = atoi(argv[1]), count = atoi(argv[4]);
  double rate = atof(argv[2]), seconds = atof(argv[3]);
  if (count < 1 || count > MOST || rate <= 0 || seconds <= 0) die("arguments");
  long total = (long)(rate * seconds), issued = 0, answered = 0, skip = total / 10;
  int64_t *took = malloc(sizeof *took * (size_t)(total + 1));
  int poll = epoll_create1(EPOLL_CLOEXEC);
  if (took == NULL || poll < 0) die("set-up");
  prctl(PR_SET_TIMERSLACK, 1UL);
  for (int i = 0; i < count; i++) open_conn(poll, i, port);
  const int64_t start = now_ns() + 20000000;
  const int64_t last = start + (int64_t)((seconds + 10) * 1e9);
  while (answered < total) {
    int64_t now = now_ns(), due = start + (int64_t)((double)issued * 1e9 / rate);
    if (now > last) {
      fprintf(stderr, "rate: %ld of %ld answered\n", answered, total);
      return 1;
    }
    if (issued < total && due <= now && ring_count > 0) {
      struct conn *c = &conns[take()];
      c->due = due;
      c->have = 0;
      if (write(c->fd, request, sizeof request - 1) != sizeof request - 1) die("write");
      issued++;
      continue;
    }
    int64_t wait = issued < total && ring_count > 0 ? due - now : 1000000000;
    struct timespec limit = {.tv_sec = wait / 1000000000, .tv_nsec = wait % 1000000000};
    struct epoll_event events[64];
    int n = epoll_pwait2(poll, events, 64, &limit, NULL);
    if (n < 0 && errno != EINTR) die("epoll_pwait2");
    for (int e = 0; e < n; e++) {
      int i = (int)events[e].data.u32;
      struct conn *c = &conns[i];
      ssize_t got = read(c->fd, c->bytes + c->have, ROOM - c->have);
      if (got <= 0) die("read");
      c->have += (size_t)got;
      c->bytes[c->have] = 0;
      if (!whole(c)) continue;
      took[answered++] = now_ns() - c->due;
      give_back(i);
    }
  }
  long counted = answered - skip;
  qsort(took + skip, (size_t)counted, sizeof *took, compare);
  const int64_t *sorted = took + skip;
  printf("{\"requests\":%ld,\"p50\":%.1f,\"p99\":%.1f,\"max\":%.1f}\n", counted, (double)sorted[counted / 2] / 1000,
         (double)sorted[counted * 99 / 100] / 1000, (double)sorted[counted - 1] / 1000);
  return 0;
}
