import io.socket.client.Ack;
import io.socket.client.IO;
import io.socket.client.Socket;
import io.socket.engineio.client.transports.Polling;
import io.socket.engineio.client.transports.WebSocket;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.HashMap;
import java.util.Map;
import org.json.JSONArray;
import org.json.JSONException;
import org.json.JSONObject;

/** What does the client for Java do? The same as node/pipe.mjs. */
final class SocketIoPipe {
    private static final PrintStream OUT = new PrintStream(System.out, true, StandardCharsets.UTF_8);
    private static final boolean RESUME = "1".equals(System.getenv("SIO_RESUME"));

    static synchronized void say(String name, Object value, Object... rest) {
        try {
            JSONObject line = new JSONObject().put(name, value == null ? JSONObject.NULL : value);
            if (rest.length > 0) {
                line.put("args", rest[0]);
            }
            OUT.println(line);
        } catch (JSONException error) {
            throw new IllegalStateException(error);
        }
    }

    static JSONArray array(Object[] values) {
        JSONArray array = new JSONArray();
        for (Object value : values) {
            array.put(value == null ? JSONObject.NULL : value);
        }
        return array;
    }

    public static void main(String[] arguments) throws Exception {
        // One map: what is put into it is in the next CONNECT.
        Map<String, String> auth = new HashMap<>();
        JSONObject given = new JSONObject(System.getenv("SIO_AUTH"));
        for (var names = given.keys(); names.hasNext(); ) {
            String name = (String) names.next();
            auth.put(name, given.get(name).toString());
        }
        IO.Options options = new IO.Options();
        options.auth = auth;
        options.forceNew = true;
        options.reconnectionDelay = 100;
        options.reconnectionDelayMax = 500;
        String[] transports = System.getenv("SIO_TRANSPORTS").split(",");
        if (transports.length == 1) {
            options.transports = new String[] {transports[0].equals("polling") ? Polling.NAME : WebSocket.NAME};
        }
        Socket socket = IO.socket(URI.create(System.getenv("SIO_URL") + System.getenv("SIO_NAMESPACE")), options);
        socket.on(Socket.EVENT_CONNECT, none -> say("connect", new JSONObject()));
        socket.on(Socket.EVENT_DISCONNECT, why -> say("disconnect", String.valueOf(why[0])));
        socket.on(Socket.EVENT_CONNECT_ERROR, why -> say("refused",
                why[0] instanceof JSONObject ? why[0] : new JSONObject(Map.of("message", String.valueOf(why[0])))));
        socket.onAnyIncoming(all -> {
            for (Object one : all) {
                if (RESUME && one instanceof JSONObject object && object.has("cursor")) {
                    auth.put("cursor", object.optString("cursor"));
                }
            }
            say("event", all[0], array(Arrays.copyOfRange(all, 1, all.length)));
        });
        socket.connect();
        var lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String text; (text = lines.readLine()) != null; ) {
            JSONObject line = new JSONObject(text);
            JSONArray wanted = line.getJSONArray("args");
            Object[] args = new Object[wanted.length()];
            for (int at = 0; at < args.length; at++) {
                args[at] = wanted.get(at);
            }
            if (line.has("call")) {
                int call = line.getInt("call");
                socket.emit(line.getString("emit"), args, (Ack) answer -> say("answer", call, array(answer)));
            } else {
                socket.emit(line.getString("emit"), args);
            }
        }
        Runtime.getRuntime().halt(0);
    }
}
