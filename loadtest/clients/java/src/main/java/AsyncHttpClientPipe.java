import static org.asynchttpclient.Dsl.asyncHttpClient;
import static org.asynchttpclient.Dsl.config;

import org.asynchttpclient.BoundRequestBuilder;
import org.asynchttpclient.DefaultAsyncHttpClientConfig;
import org.asynchttpclient.ws.WebSocket;
import org.asynchttpclient.ws.WebSocketListener;
import org.asynchttpclient.ws.WebSocketUpgradeHandler;

final class AsyncHttpClientPipe implements WebSocketListener {
    public static void main(String[] args) throws Exception {
        DefaultAsyncHttpClientConfig.Builder config = config().setEnablewebSocketCompression(Pipe.COMPRESS);
        if (Pipe.LARGE) {
            config.setWebSocketMaxFrameSize(Pipe.LARGEST).setWebSocketMaxBufferSize(Pipe.LARGEST);
        }
        BoundRequestBuilder request = asyncHttpClient(config).prepareGet(Pipe.URL);
        if (Pipe.AUTHORIZATION != null) {
            request.setHeader("Authorization", Pipe.AUTHORIZATION);
        }
        if (!Pipe.PROTOCOLS.isEmpty()) {
            request.setHeader("Sec-WebSocket-Protocol", String.join(", ", Pipe.PROTOCOLS));
        }
        try {
            request.execute(new WebSocketUpgradeHandler.Builder().addWebSocketListener(new AsyncHttpClientPipe()).build()).get();
        } catch (Exception error) {
            Pipe.failed(error);
        }
        Pipe.stay();
    }

    @Override
    public void onOpen(WebSocket ws) {
        Pipe.open(ws.getUpgradeHeaders().get("Sec-WebSocket-Protocol"));
        Pipe.feed(ws::sendTextFrame, ws::sendCloseFrame);
    }

    @Override
    public void onTextFrame(String text, boolean last, int reserved) {
        Pipe.text(text);
    }

    @Override
    public void onClose(WebSocket ws, int code, String reason) {
        Pipe.closed(code, reason);
    }

    @Override
    public void onError(Throwable error) {
        Pipe.failed(error);
    }
}
