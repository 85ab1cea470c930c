/* A target for prober benchmarks: one epoll loop that answers every HTTP request with a small 200.
 *
 * Listens on 0.0.0.0:PORT, so every address of 127.0.0.0/8 is an endpoint. Keeps the connection for HTTP/1.1
 * unless the request says "Connection: close". Usage: target PORT; prints "ready" once it listens.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

static const char keep[] = "HTTP/1.1 200 OK\r\nServer: target\r\nContent-Type: text/plain\r\n"
                           "Content-Length: 3\r\nConnection: keep-alive\r\n\r\nok\n";
static const char last[] = "HTTP/1.1 200 OK\r\nServer: target\r\nContent-Type: text/plain\r\n"
                           "Content-Length: 3\r\nConnection: close\r\n\r\nok\n";

int main(int argc, char **argv) {
    int port = argc > 1 ? atoi(argv[1]) : 0, one = 1;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port)};
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(listener, (struct sockaddr *)&at, sizeof at) || listen(listener, 4096)) {
        perror("listen");
        return 1;
    }
    int poll = epoll_create1(0);
    struct epoll_event wish = {.events = EPOLLIN, .data.fd = listener}, ready[256];
    epoll_ctl(poll, EPOLL_CTL_ADD, listener, &wish);
    puts("ready");
    fflush(stdout);
    char text[4096];
    for (;;) {
        int count = epoll_wait(poll, ready, 256, -1);
        for (int i = 0; i < count; i++) {
            int peer = ready[i].data.fd;
            if (peer == listener) {
                while ((peer = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
                    struct epoll_event ask = {.events = EPOLLIN, .data.fd = peer};
                    epoll_ctl(poll, EPOLL_CTL_ADD, peer, &ask);
                }
                continue;
            }
            ssize_t size = recv(peer, text, sizeof text - 1, 0);
            if (size <= 0) {
                if (size == 0 || errno != EAGAIN)
                    close(peer);
                continue;
            }
            text[size] = 0;
            int stay = strstr(text, "HTTP/1.1\r\n") && !strstr(text, "Connection: close");
            if (send(peer, stay ? keep : last, stay ? sizeof keep - 1 : sizeof last - 1, MSG_NOSIGNAL) < 0 || !stay)
                close(peer);
        }
    }
}
