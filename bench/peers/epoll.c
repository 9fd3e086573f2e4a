/* The limit: what an echo server costs when it does nothing but the system calls. One thread, level-triggered epoll, one
 * read of up to 1 MiB and one write per wake-up. The rest of a short write is kept with the connection. The poller then
 * waits only for room to write, so a client that never reads holds at most one buffer.
 *
 * Usage: epoll HOST PORT */

#define _GNU_SOURCE
#include "listen.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BACKLOG = 511, BATCH = 256, BUFFER = 1024 * 1024, DESCRIPTORS = 65536 };

/* The rest of a short write, by descriptor. */
struct rest {
  char *bytes;
  size_t from, to;
};

static struct rest rests[DESCRIPTORS];
static char buffer[BUFFER];
static int poller;

static void die(const char *what) {
  perror(what);
  exit(1);
}

static void watch(int how, int fd, uint32_t events) {
  struct epoll_event event = {.events = events, .data.fd = fd};
  if (epoll_ctl(poller, how, fd, &event) < 0) die("epoll_ctl");
}

static void drop(int fd) {
  free(rests[fd].bytes);
  rests[fd] = (struct rest){0};
  close(fd);
}

/* Keeps what a write did not take. */
static void keep(int fd, const char *bytes, size_t count) {
  char *copy = malloc(count);
  if (copy == NULL) {
    drop(fd);
    return;
  }
  memcpy(copy, bytes, count);
  rests[fd] = (struct rest){.bytes = copy, .to = count};
  watch(EPOLL_CTL_MOD, fd, EPOLLOUT);
}

static int is_transient(void) { return errno == EAGAIN || errno == EINTR; }

static void drain(int fd) {
  struct rest *rest = &rests[fd];
  ssize_t count = write(fd, rest->bytes + rest->from, rest->to - rest->from);
  if (count < 0 && !is_transient()) drop(fd);
  if (count <= 0) return;
  rest->from += (size_t)count;
  if (rest->from < rest->to) return;
  free(rest->bytes);
  *rest = (struct rest){0};
  watch(EPOLL_CTL_MOD, fd, EPOLLIN);
}

static void echo(int fd) {
  ssize_t got = read(fd, buffer, BUFFER);
  if (got <= 0) {
    if (got == 0 || !is_transient()) drop(fd);
    return;
  }
  ssize_t put = write(fd, buffer, (size_t)got);
  if (put == got) return;
  if (put < 0 && !is_transient()) {
    drop(fd);
    return;
  }
  if (put < 0) put = 0;
  keep(fd, buffer + put, (size_t)(got - put));
}

static void accept_one(int listener) {
  int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (fd < 0) return;
  if (fd >= DESCRIPTORS) {
    close(fd);
    return;
  }
  watch(EPOLL_CTL_ADD, fd, EPOLLIN);
}

static int listen_on(struct sockaddr_in *address) {
  int on = 1;
  socklen_t length = sizeof *address;
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  /* Accepted sockets inherit TCP_NODELAY. */
  if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0 ||
      setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) < 0 ||
      bind(fd, (struct sockaddr *)address, sizeof *address) < 0 || listen(fd, BACKLOG) < 0 ||
      getsockname(fd, (struct sockaddr *)address, &length) < 0)
    die("listen");
  return fd;
}

int main(int argc, char **argv) {
  struct sockaddr_in address = address_from_arguments(argc, argv);
  struct epoll_event events[BATCH];
  signal(SIGPIPE, SIG_IGN);
  poller = epoll_create1(EPOLL_CLOEXEC);
  if (poller < 0) die("epoll_create1");
  int listener = listen_on(&address);
  watch(EPOLL_CTL_ADD, listener, EPOLLIN);
  print_port(&address);
  for (;;) {
    int count = epoll_wait(poller, events, BATCH, -1);
    if (count < 0 && errno != EINTR) die("epoll_wait");
    for (int i = 0; i < count; i++) {
      int fd = events[i].data.fd;
      if (fd == listener) accept_one(fd);
      else if (rests[fd].bytes != NULL) drain(fd);
      else echo(fd);
    }
  }
}
