import com.neovisionaries.ws.client.WebSocket;
import com.neovisionaries.ws.client.WebSocketAdapter;
import com.neovisionaries.ws.client.WebSocketException;
import com.neovisionaries.ws.client.WebSocketExtension;
import com.neovisionaries.ws.client.WebSocketFactory;
import com.neovisionaries.ws.client.WebSocketFrame;
import java.util.List;
import java.util.Map;

final class NvPipe extends WebSocketAdapter {
    public static void main(String[] args) throws Exception {
        WebSocket ws = new WebSocketFactory().createSocket(Pipe.URL).addListener(new NvPipe());
        if (Pipe.AUTHORIZATION != null) {
            ws.addHeader("Authorization", Pipe.AUTHORIZATION);
        }
        Pipe.PROTOCOLS.forEach(ws::addProtocol);
        if (Pipe.COMPRESS) {
            ws.addExtension(WebSocketExtension.PERMESSAGE_DEFLATE);
        }
        try {
            ws.connect();
        } catch (WebSocketException error) {
            Pipe.failed(error);
        }
        Pipe.stay();
    }

    @Override
    public void onConnected(WebSocket ws, Map<String, List<String>> headers) {
        Pipe.open(ws.getAgreedProtocol());
        Pipe.feed(ws::sendText, ws::disconnect);
    }

    @Override
    public void onTextMessage(WebSocket ws, String text) {
        Pipe.text(text);
    }

    @Override
    public void onDisconnected(WebSocket ws, WebSocketFrame server, WebSocketFrame client, boolean byServer) {
        Pipe.closed(server == null ? 1006 : server.getCloseCode(), server == null ? "" : server.getCloseReason());
    }

    @Override
    public void onError(WebSocket ws, WebSocketException error) {
        Pipe.failed(error);
    }
}
