import io.vertx.core.Vertx;
import io.vertx.core.http.WebSocket;
import io.vertx.core.http.WebSocketClient;
import io.vertx.core.http.WebSocketClientOptions;
import io.vertx.core.http.WebSocketConnectOptions;
import java.net.URI;

final class VertxPipe {
    /** Held: a client that nobody holds is closed when the garbage is collected, and its connections with it. */
    private static WebSocketClient client;

    public static void main(String[] args) throws Exception {
        WebSocketClientOptions options = new WebSocketClientOptions().setTryUsePerMessageCompression(Pipe.COMPRESS);
        if (Pipe.LARGE) {
            options.setMaxFrameSize(Pipe.LARGEST).setMaxMessageSize(Pipe.LARGEST);
        }
        URI uri = URI.create(Pipe.URL);
        String path = uri.getRawPath() + (uri.getRawQuery() == null ? "" : "?" + uri.getRawQuery());
        WebSocketConnectOptions request =
                new WebSocketConnectOptions().setHost(uri.getHost()).setPort(uri.getPort()).setURI(path)
                        // Else it sends the address as Origin, as if it were a page.
                        .setAllowOriginHeader(false);
        if (Pipe.AUTHORIZATION != null) {
            request.addHeader("Authorization", Pipe.AUTHORIZATION);
        }
        Pipe.PROTOCOLS.forEach(request::addSubProtocol);
        client = Vertx.vertx().createWebSocketClient(options);
        client.connect(request).onFailure(Pipe::failed).onSuccess(VertxPipe::use);
        Pipe.stay();
    }

    private static void use(WebSocket ws) {
        Pipe.open(ws.subProtocol());
        ws.textMessageHandler(Pipe::text);
        ws.exceptionHandler(Pipe::failed);
        ws.closeHandler(ended -> Pipe.closed(ws.closeStatusCode() == null ? 1006 : ws.closeStatusCode(), ws.closeReason()));
        Pipe.feed(ws::writeTextMessage, ws::close);
    }
}
