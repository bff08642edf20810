import java.net.URI;
import org.eclipse.jetty.websocket.api.Callback;
import org.eclipse.jetty.websocket.api.Session;
import org.eclipse.jetty.websocket.client.ClientUpgradeRequest;
import org.eclipse.jetty.websocket.client.WebSocketClient;

public final class JettyPipe implements Session.Listener.AutoDemanding {
    public static void main(String[] args) throws Exception {
        WebSocketClient client = new WebSocketClient();
        if (Pipe.LARGE) {
            client.setMaxTextMessageSize(Pipe.LARGEST);
        }
        client.start();
        ClientUpgradeRequest request = new ClientUpgradeRequest(URI.create(Pipe.URL));
        if (Pipe.AUTHORIZATION != null) {
            request.setHeader("Authorization", Pipe.AUTHORIZATION);
        }
        request.setSubProtocols(Pipe.PROTOCOLS);
        if (Pipe.COMPRESS) {
            request.addExtensions("permessage-deflate");
        }
        client.connect(new JettyPipe(), request).exceptionally(error -> {
            Pipe.failed(error);
            return null;
        });
        Pipe.stay();
    }

    @Override
    public void onWebSocketOpen(Session session) {
        Pipe.open(session.getUpgradeResponse().getAcceptedSubProtocol());
        Pipe.feed(line -> session.sendText(line, Callback.NOOP), () -> session.close(1000, "", Callback.NOOP));
    }

    @Override
    public void onWebSocketText(String text) {
        Pipe.text(text);
    }

    @Override
    public void onWebSocketClose(int code, String reason, Callback callback) {
        Pipe.closed(code, reason);
    }

    @Override
    public void onWebSocketError(Throwable error) {
        Pipe.failed(error);
    }
}
