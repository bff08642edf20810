// Lines of the standard input are sent, messages are printed.
#include <libsoup/soup.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static SoupWebsocketConnection *ws;

static void came(SoupWebsocketConnection *connection, SoupWebsocketDataType type, GBytes *message, void *data) {
    gsize length;
    const char *bytes = g_bytes_get_data(message, &length);
    printf("text %.*s\n", (int)length, bytes);
    fflush(stdout);
}

static void ended(SoupWebsocketConnection *connection, void *data) {
    const char *reason = soup_websocket_connection_get_close_data(connection);
    printf("close %u %s\n", soup_websocket_connection_get_close_code(connection), reason ? reason : "");
    fflush(stdout);
    exit(0);
}

static void erred(SoupWebsocketConnection *connection, GError *error, void *data) {
    printf("error %s\n", error->message);
    fflush(stdout);
}

static gboolean typed(GIOChannel *input, GIOCondition condition, void *data) {
    gchar *line = NULL;
    gsize end;
    GIOStatus status = g_io_channel_read_line(input, &line, NULL, &end, NULL);
    if (status == G_IO_STATUS_NORMAL) {
        line[end] = 0;
        soup_websocket_connection_send_text(ws, line);
        g_free(line);
        return TRUE;
    }
    if (status == G_IO_STATUS_AGAIN) return TRUE;
    soup_websocket_connection_close(ws, 1000, NULL);
    return FALSE;
}

static void connected(GObject *session, GAsyncResult *result, void *data) {
    GError *error = NULL;
    ws = soup_session_websocket_connect_finish(SOUP_SESSION(session), result, &error);
    if (!ws) {
        printf("error %s\n", error->message);
        exit(0);
    }
    const char *large = getenv("WS_LARGE");
    if (large && !strcmp(large, "1")) soup_websocket_connection_set_max_incoming_payload_size(ws, 131072);
    const char *protocol = soup_websocket_connection_get_protocol(ws);
    printf("open %s\n", protocol ? protocol : "");
    fflush(stdout);
    g_signal_connect(ws, "message", G_CALLBACK(came), NULL);
    g_signal_connect(ws, "closed", G_CALLBACK(ended), NULL);
    g_signal_connect(ws, "error", G_CALLBACK(erred), NULL);
    g_io_add_watch(g_io_channel_unix_new(0), G_IO_IN | G_IO_HUP, typed, NULL);
}

int main(void) {
    SoupSession *session = soup_session_new();
    SoupMessage *message = soup_message_new("GET", getenv("WS_URL"));
    const char *bearer = getenv("WS_BEARER"), *names = getenv("WS_PROTOCOLS"), *compress = getenv("WS_COMPRESS");
    if (bearer && *bearer) {
        gchar *value = g_strdup_printf("Bearer %s", bearer);
        soup_message_headers_append(soup_message_get_request_headers(message), "Authorization", value);
        g_free(value);
    }
    if (compress && !strcmp(compress, "1")) soup_session_add_feature_by_type(session, SOUP_TYPE_WEBSOCKET_EXTENSION_MANAGER);
    gchar **protocols = names && *names ? g_strsplit(names, ",", 0) : NULL;
    soup_session_websocket_connect_async(session, message, NULL, protocols, G_PRIORITY_DEFAULT, NULL, connected, NULL);
    g_main_loop_run(g_main_loop_new(NULL, FALSE));
}
