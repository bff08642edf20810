import java.net.URI;
import java.util.List;
import java.util.Map;
import org.java_websocket.client.WebSocketClient;
import org.java_websocket.drafts.Draft_6455;
import org.java_websocket.extensions.IExtension;
import org.java_websocket.extensions.permessage_deflate.PerMessageDeflateExtension;
import org.java_websocket.handshake.ServerHandshake;
import org.java_websocket.protocols.IProtocol;
import org.java_websocket.protocols.Protocol;

final class JavaWebSocketPipe extends WebSocketClient {
    private JavaWebSocketPipe(Draft_6455 draft, Map<String, String> headers) {
        super(URI.create(Pipe.URL), draft, headers, 5000);
    }

    public static void main(String[] args) throws Exception {
        List<IExtension> extensions = Pipe.COMPRESS ? List.of(new PerMessageDeflateExtension()) : List.of();
        List<IProtocol> protocols = Pipe.PROTOCOLS.isEmpty() ? List.of(new Protocol(""))
                : List.of(new Protocol(String.join(", ", Pipe.PROTOCOLS)), new Protocol("carillon.v1"));
        Map<String, String> headers =
                Pipe.AUTHORIZATION == null ? Map.of() : Map.of("Authorization", Pipe.AUTHORIZATION);
        new JavaWebSocketPipe(new Draft_6455(extensions, protocols), headers).connect();
        Pipe.stay();
    }

    @Override
    public void onOpen(ServerHandshake answer) {
        Pipe.open(answer.getFieldValue("Sec-WebSocket-Protocol"));
        Pipe.feed(this::send, () -> close(1000));
    }

    @Override
    public void onMessage(String text) {
        Pipe.text(text);
    }

    @Override
    public void onClose(int code, String reason, boolean remote) {
        Pipe.closed(code, reason);
    }

    @Override
    public void onError(Exception error) {
        Pipe.failed(error);
    }
}
