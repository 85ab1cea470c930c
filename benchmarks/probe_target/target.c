/* A target for prober benchmarks: one epoll loop that answers every HTTP request with a small 200.
 *
 * Listens on 0.0.0.0:PORT, so every address of 127.0.0.0/8 is an endpoint. Keeps the connection for HTTP/1.1
 * unless the request says "Connection: close". "GET /served" answers with the number of requests so far.
 * Usage: target PORT; prints "ready" once it listens.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static char keep[256], last[256];
static int keep_size, last_size;

/* Both replies with the present second in their Date header, as real servers have it. */
static void refresh(void) {
    static time_t shown;
    time_t now = time(NULL);
    if (now == shown)
        return;
    shown = now;
    char date[64];
    struct tm parts;
    strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", gmtime_r(&now, &parts));
    const char *form = "HTTP/1.1 200 OK\r\nServer: target\r\nDate: %s\r\nContent-Type: text/plain\r\n"
                       "Content-Length: 3\r\nConnection: %s\r\n\r\nok\n";
    keep_size = snprintf(keep, sizeof keep, form, date, "keep-alive");
    last_size = snprintf(last, sizeof last, form, date, "close");
}

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
    char text[4096], number[200];
    long served = 0;
    for (;;) {
        int count = epoll_wait(poll, ready, 256, -1);
        refresh();
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
            served++;
            if (!strncmp(text, "GET /served", 11)) {
                char digits[32];
                int digits_size = snprintf(digits, sizeof digits, "%ld", served);
                int number_size = snprintf(number, sizeof number,
                                           "HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s",
                                           digits_size, digits);
                if (send(peer, number, number_size, MSG_NOSIGNAL) != number_size)
                    perror("send");
                close(peer);
                continue;
            }
            int stay = strstr(text, "HTTP/1.1\r\n") && !strstr(text, "Connection: close");
            if (send(peer, stay ? keep : last, stay ? keep_size : last_size, MSG_NOSIGNAL) < 0 || !stay)
                close(peer);
        }
    }
}
