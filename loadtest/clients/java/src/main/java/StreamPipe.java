import com.launchdarkly.eventsource.ConnectStrategy;
import com.launchdarkly.eventsource.EventSource;
import com.launchdarkly.eventsource.HttpConnectStrategy;
import com.launchdarkly.eventsource.MessageEvent;
import com.launchdarkly.eventsource.background.BackgroundEventHandler;
import com.launchdarkly.eventsource.background.BackgroundEventSource;
import java.net.URI;
import java.time.Duration;
import java.util.concurrent.TimeUnit;
import okhttp3.OkHttpClient;
import okhttp3.Request;
import okhttp3.Response;
import okhttp3.sse.EventSourceListener;
import okhttp3.sse.EventSources;

/**
 * What every client of event streams does here: {@code StreamPipe NAME} prints what it gets, until its input ends. {@code open},
 * {@code event ID DATA}, {@code error WHY} and {@code end WHY} (it will not come back) are the lines of the standard output.
 */
final class StreamPipe {
    private static final String URL = System.getenv("SSE_URL");
    private static final String BEARER = System.getenv().getOrDefault("SSE_BEARER", "");
    /** Whether the setting that the table names is to be used. */
    private static final boolean SETTING = "1".equals(System.getenv("SSE_SETTING"));

    public static void main(String[] args) throws Exception {
        switch (args[0]) {
            case "okhttp" -> okHttp();
            case "launchdarkly" -> launchDarkly();
            default -> throw new IllegalArgumentException(args[0]);
        }
        while (System.in.read() >= 0) {}
        Runtime.getRuntime().halt(0);
    }

    private static synchronized void say(String kind, Object... text) {
        StringBuilder line = new StringBuilder(kind);
        for (Object part : text) {
            line.append(' ').append(String.valueOf(part == null ? "" : part).replace('\n', ' '));
        }
        Pipe.print(line.toString());
    }

    private static void okHttp() {
        OkHttpClient.Builder client = new OkHttpClient.Builder();
        if (SETTING) {
            client.readTimeout(Duration.ZERO);
        }
        Request.Builder request = new Request.Builder().url(URL);
        if (!BEARER.isEmpty()) {
            request.header("Authorization", "Bearer " + BEARER);
        }
        EventSources.createFactory(client.build()).newEventSource(request.build(), new EventSourceListener() {
            @Override
            public void onOpen(okhttp3.sse.EventSource source, Response answer) {
                say("open");
            }

            @Override
            public void onEvent(okhttp3.sse.EventSource source, String id, String type, String data) {
                say("event", id, data);
            }

            @Override
            public void onClosed(okhttp3.sse.EventSource source) {
                say("end", "closed");
            }

            @Override
            public void onFailure(okhttp3.sse.EventSource source, Throwable error, Response answer) {
                say("end", error, answer);
            }
        });
    }

    private static void launchDarkly() {
        HttpConnectStrategy http = ConnectStrategy.http(URI.create(URL));
        if (!BEARER.isEmpty()) {
            http = http.header("Authorization", "Bearer " + BEARER);
        }
        if (SETTING) {
            http = http.readTimeout(1, TimeUnit.MINUTES);
        }
        BackgroundEventHandler handler = new BackgroundEventHandler() {
            @Override
            public void onOpen() {
                say("open");
            }

            @Override
            public void onClosed() {
                say("error", "closed");
            }

            @Override
            public void onMessage(String type, MessageEvent event) {
                say("event", event.getLastEventId(), event.getData());
            }

            @Override
            public void onComment(String comment) {}

            @Override
            public void onError(Throwable error) {
                say("error", error);
            }
        };
        new BackgroundEventSource.Builder(handler, new EventSource.Builder(http)).build().start();
    }
}
