// Lines of the standard input are sent, messages are printed.
#include <libwebsockets.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct lws_context *context;
static struct lws *ws;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char *waiting[4096];
static int first, last, finished;
static char *message;
static size_t length;
static char end[256] = "close 1006 ";

static void *typed(void *nothing) {
    char *line = NULL;
    size_t room = 0;
    ssize_t got;
    while ((got = getline(&line, &room, stdin)) > 0) {
        char *copy = malloc(LWS_PRE + got + 1);
        memcpy(copy + LWS_PRE, line, got);
        copy[LWS_PRE + got - (line[got - 1] == '\n')] = 0;
        pthread_mutex_lock(&lock);
        waiting[last++ % 4096] = copy;
        pthread_mutex_unlock(&lock);
        lws_cancel_service(context);
    }
    finished = 1;
    lws_cancel_service(context);
    return NULL;
}

static int callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t len) {
    static pthread_t reader;
    switch (reason) {
    case LWS_CALLBACK_CLIENT_APPEND_HANDSHAKE_HEADER: {
        const char *bearer = getenv("WS_BEARER");
        if (bearer && *bearer) {
            char value[9000];
            unsigned char **at = in;
            int size = snprintf(value, sizeof value, "Bearer %s", bearer);
            if (lws_add_http_header_by_name(wsi, (unsigned char *)"authorization:", (unsigned char *)value, size, at, *at + len)) return -1;
        }
        break;
    }
    case LWS_CALLBACK_CLIENT_ESTABLISHED:
        ws = wsi;
        printf("open \n");
        fflush(stdout);
        pthread_create(&reader, NULL, typed, NULL);
        break;
    case LWS_CALLBACK_CLIENT_RECEIVE:
        message = realloc(message, length + len);
        memcpy(message + length, in, len);
        length += len;
        if (lws_is_final_fragment(wsi) && !lws_remaining_packet_payload(wsi)) {
            printf("text %.*s\n", (int)length, message);
            fflush(stdout);
            length = 0;
        }
        break;
    case LWS_CALLBACK_EVENT_WAIT_CANCELLED:
        if (ws) lws_callback_on_writable(ws);
        break;
    case LWS_CALLBACK_CLIENT_WRITEABLE: {
        pthread_mutex_lock(&lock);
        char *line = first < last ? waiting[first++ % 4096] : NULL;
        int more = first < last;
        pthread_mutex_unlock(&lock);
        if (line) lws_write(wsi, (unsigned char *)line + LWS_PRE, strlen(line + LWS_PRE), LWS_WRITE_TEXT);
        if (more) lws_callback_on_writable(wsi);
        if (!line && finished) {
            lws_close_reason(wsi, LWS_CLOSE_STATUS_NORMAL, NULL, 0);
            return -1;
        }
        break;
    }
    case LWS_CALLBACK_WS_PEER_INITIATED_CLOSE: {
        unsigned char *bytes = in;
        if (len >= 2) snprintf(end, sizeof end, "close %d %.*s", bytes[0] << 8 | bytes[1], (int)len - 2, bytes + 2);
        break;
    }
    case LWS_CALLBACK_CLIENT_CONNECTION_ERROR:
        snprintf(end, sizeof end, "error %s", in ? (char *)in : "");
        // Falls through.
    case LWS_CALLBACK_CLIENT_CLOSED:
        puts(end);
        fflush(stdout);
        _exit(0);
    default:
        break;
    }
    return 0;
}

static const struct lws_extension extensions[] = {
    {"permessage-deflate", lws_extension_callback_pm_deflate, "permessage-deflate; client_max_window_bits"}, {NULL, NULL, NULL}};

int main(void) {
    const struct lws_protocols protocols[] = {{"carillon.v1", callback, 0, 0, 0, NULL, 0}, {NULL, NULL, 0, 0, 0, NULL, 0}};
    const char *compress = getenv("WS_COMPRESS"), *names = getenv("WS_PROTOCOLS");
    struct lws_context_creation_info info = {.port = CONTEXT_PORT_NO_LISTEN, .protocols = protocols};
    if (compress && !strcmp(compress, "1")) info.extensions = extensions;
    // The default leaves 4,096 bytes to all headers.
    info.pt_serv_buf_size = 32768;
    lws_set_log_level(0, NULL);
    context = lws_create_context(&info);
    const char *scheme, *host, *path;
    int port;
    char *url = strdup(getenv("WS_URL")), full[9000];
    lws_parse_uri(url, &scheme, &host, &port, &path);
    snprintf(full, sizeof full, "/%s", path);
    char *spaced = NULL;
    if (names && *names) {
        spaced = malloc(strlen(names) + 2);
        char *comma = strchr(names, ',');
        sprintf(spaced, "%.*s, %s", (int)(comma - names), names, comma + 1);
    }
    struct lws_client_connect_info to = {.context = context, .address = host, .port = port, .path = full, .host = host, .protocol = spaced, .local_protocol_name = "carillon.v1"};
    lws_client_connect_via_info(&to);
    while (lws_service(context, 0) >= 0) {}
}
