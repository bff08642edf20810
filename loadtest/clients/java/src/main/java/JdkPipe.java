import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.WebSocket;
import java.util.concurrent.CompletionStage;

final class JdkPipe implements WebSocket.Listener {
    private final StringBuilder message = new StringBuilder();

    public static void main(String[] args) throws Exception {
        WebSocket.Builder builder = HttpClient.newHttpClient().newWebSocketBuilder();
        if (Pipe.AUTHORIZATION != null) {
            builder.header("Authorization", Pipe.AUTHORIZATION);
        }
        if (!Pipe.PROTOCOLS.isEmpty()) {
            String[] rest = Pipe.PROTOCOLS.stream().skip(1).toArray(String[]::new);
            builder.subprotocols(Pipe.PROTOCOLS.get(0), rest);
        }
        builder.buildAsync(URI.create(Pipe.URL), new JdkPipe()).exceptionally(error -> {
            Pipe.failed(error);
            return null;
        });
        Pipe.stay();
    }

    @Override
    public void onOpen(WebSocket ws) {
        Pipe.open(ws.getSubprotocol());
        Pipe.feed(line -> ws.sendText(line, true).join(), () -> ws.sendClose(1000, ""));
        ws.request(1);
    }

    @Override
    public CompletionStage<?> onText(WebSocket ws, CharSequence part, boolean last) {
        message.append(part);
        if (last) {
            Pipe.text(message.toString());
            message.setLength(0);
        }
        ws.request(1);
        return null;
    }

    @Override
    public CompletionStage<?> onClose(WebSocket ws, int code, String reason) {
        Pipe.closed(code, reason);
        return null;
    }

    @Override
    public void onError(WebSocket ws, Throwable error) {
        Pipe.failed(error);
    }
}
