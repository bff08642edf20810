import jakarta.websocket.ClientEndpointConfig;
import jakarta.websocket.CloseReason;
import jakarta.websocket.Endpoint;
import jakarta.websocket.EndpointConfig;
import jakarta.websocket.Extension;
import jakarta.websocket.MessageHandler;
import jakarta.websocket.Session;
import java.net.URI;
import java.util.List;
import java.util.Map;
import org.glassfish.tyrus.client.ClientManager;
import org.glassfish.tyrus.ext.extension.deflate.PerMessageDeflateExtension;

public final class TyrusPipe extends Endpoint {
    public static void main(String[] args) throws Exception {
        ClientEndpointConfig config = ClientEndpointConfig.Builder.create()
                .preferredSubprotocols(Pipe.PROTOCOLS)
                .extensions(Pipe.COMPRESS ? List.<Extension>of(new PerMessageDeflateExtension()) : List.of())
                .configurator(new ClientEndpointConfig.Configurator() {
                    @Override
                    public void beforeRequest(Map<String, List<String>> headers) {
                        if (Pipe.AUTHORIZATION != null) {
                            headers.put("Authorization", List.of(Pipe.AUTHORIZATION));
                        }
                    }
                }).build();
        try {
            ClientManager.createClient().connectToServer(new TyrusPipe(), config, URI.create(Pipe.URL));
        } catch (Exception error) {
            Pipe.failed(error);
        }
        Pipe.stay();
    }

    @Override
    public void onOpen(Session session, EndpointConfig config) {
        Pipe.open(session.getNegotiatedSubprotocol());
        session.addMessageHandler(String.class, (MessageHandler.Whole<String>) Pipe::text);
        Pipe.feed(line -> session.getAsyncRemote().sendText(line), () -> {
            try {
                session.close();
            } catch (Exception error) {
                Pipe.failed(error);
            }
        });
    }

    @Override
    public void onClose(Session session, CloseReason reason) {
        Pipe.closed(reason.getCloseCode().getCode(), reason.getReasonPhrase());
    }

    @Override
    public void onError(Session session, Throwable error) {
        Pipe.failed(error);
    }
}
