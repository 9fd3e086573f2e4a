/* An echo server in the manner of libuv's own example: a buffer from malloc for every read, which the write request then
 * takes over and frees.
 *
 * Usage: libuv HOST PORT */

#include "listen.h"

#include <signal.h>
#include <uv.h>

enum { BACKLOG = 511 };

/* A write under way and the buffer it owns. */
struct outgoing {
  uv_write_t request;
  char *bytes;
};

static void die(const char *what, int status) {
  fprintf(stderr, "%s: %s\n", what, uv_strerror(status));
  exit(1);
}

static void on_close(uv_handle_t *handle) { free(handle); }

static void drop(uv_stream_t *client) {
  uv_handle_t *handle = (uv_handle_t *)client;
  if (!uv_is_closing(handle)) uv_close(handle, on_close);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf) {
  (void)handle;
  *buf = uv_buf_init(malloc(suggested), (unsigned int)suggested);
}

static void on_written(uv_write_t *request, int status) {
  struct outgoing *outgoing = (struct outgoing *)request;
  if (status < 0) drop(request->handle);
  free(outgoing->bytes);
  free(outgoing);
}

static void on_shutdown(uv_shutdown_t *request, int status) {
  (void)status;
  drop(request->handle);
  free(request);
}

/* Closes once everything read has been written. */
static void finish(uv_stream_t *client) {
  uv_shutdown_t *request = malloc(sizeof *request);
  if (request == NULL || uv_shutdown(request, client, on_shutdown) < 0) {
    free(request);
    drop(client);
  }
}

static void on_read(uv_stream_t *client, ssize_t count, const uv_buf_t *buf) {
  if (count > 0) {
    struct outgoing *outgoing = malloc(sizeof *outgoing);
    uv_buf_t bytes = uv_buf_init(buf->base, (unsigned int)count);
    outgoing->bytes = buf->base;
    if (uv_write(&outgoing->request, client, &bytes, 1, on_written) == 0) return;
    free(outgoing);
    drop(client);
  } else if (count == UV_EOF) {
    finish(client);
  } else if (count < 0) {
    drop(client);
  }
  free(buf->base);
}

static void on_connection(uv_stream_t *server, int status) {
  if (status < 0) return;
  uv_tcp_t *client = malloc(sizeof *client);
  if (client == NULL) return;
  uv_tcp_init(server->loop, client);
  if (uv_accept(server, (uv_stream_t *)client) == 0) uv_read_start((uv_stream_t *)client, on_alloc, on_read);
  else drop((uv_stream_t *)client);
}

int main(int argc, char **argv) {
  struct sockaddr_in address = address_from_arguments(argc, argv);
  int length = sizeof address;
  uv_loop_t *loop = uv_default_loop();
  uv_tcp_t server;
  signal(SIGPIPE, SIG_IGN);
  uv_tcp_init(loop, &server);
  int status = uv_tcp_bind(&server, (const struct sockaddr *)&address, 0);
  if (status < 0) die("bind", status);
  status = uv_listen((uv_stream_t *)&server, BACKLOG, on_connection);
  if (status < 0) die("listen", status);
  status = uv_tcp_getsockname(&server, (struct sockaddr *)&address, &length);
  if (status < 0) die("getsockname", status);
  print_port(&address);
  return uv_run(loop, UV_RUN_DEFAULT);
}
