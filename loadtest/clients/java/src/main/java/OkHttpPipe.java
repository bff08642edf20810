import okhttp3.OkHttpClient;
import okhttp3.Request;
import okhttp3.Response;
import okhttp3.WebSocket;
import okhttp3.WebSocketListener;

final class OkHttpPipe extends WebSocketListener {
    public static void main(String[] args) throws Exception {
        Request.Builder request = new Request.Builder().url(Pipe.URL);
        if (Pipe.AUTHORIZATION != null) {
            request.header("Authorization", Pipe.AUTHORIZATION);
        }
        if (!Pipe.PROTOCOLS.isEmpty()) {
            request.header("Sec-WebSocket-Protocol", String.join(", ", Pipe.PROTOCOLS));
        }
        new OkHttpClient().newWebSocket(request.build(), new OkHttpPipe());
        Pipe.stay();
    }

    @Override
    public void onOpen(WebSocket ws, Response answer) {
        Pipe.open(answer.header("Sec-WebSocket-Protocol"));
        Pipe.feed(ws::send, () -> ws.close(1000, null));
    }

    @Override
    public void onMessage(WebSocket ws, String text) {
        Pipe.text(text);
    }

    @Override
    public void onClosing(WebSocket ws, int code, String reason) {
        ws.close(1000, null);
        Pipe.closed(code, reason);
    }

    @Override
    public void onFailure(WebSocket ws, Throwable error, Response answer) {
        Pipe.failed(error);
    }
}
