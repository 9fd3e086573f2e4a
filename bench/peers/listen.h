/* What both C peers need around their loops. */

#ifndef LISTEN_H
#define LISTEN_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The address in the arguments HOST PORT. */
static struct sockaddr_in address_from_arguments(int argc, char **argv) {
  struct sockaddr_in address;
  memset(&address, 0, sizeof address);
  address.sin_family = AF_INET;
  if (argc != 3 || inet_pton(AF_INET, argv[1], &address.sin_addr) != 1) {
    fprintf(stderr, "usage: %s HOST PORT\n", argv[0]);
    exit(2);
  }
  address.sin_port = htons((unsigned short)atoi(argv[2]));
  return address;
}

/* Says which port the kernel gave. */
static void print_port(const struct sockaddr_in *address) {
  printf("%d\n", ntohs(address->sin_port));
  fflush(stdout);
}

#endif
