import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.function.Consumer;
import java.util.stream.Stream;

/**
 * What every client of the JVM here does: lines of the standard input are sent, messages are printed. `open`, `text MESSAGE`,
 * `close CODE REASON` and `error WHY` are the lines of the standard output.
 */
final class Pipe {
    static final String URL = System.getenv("WS_URL");
    /** The value of Authorization, or null. */
    static final String AUTHORIZATION =
            System.getenv().getOrDefault("WS_BEARER", "").isEmpty() ? null : "Bearer " + System.getenv("WS_BEARER");
    static final List<String> PROTOCOLS = Stream.of(System.getenv().getOrDefault("WS_PROTOCOLS", "").split(","))
            .filter(name -> !name.isEmpty()).toList();
    static final boolean COMPRESS = "1".equals(System.getenv("WS_COMPRESS"));
    /** Whether the library's setting for large messages is to be used. */
    static final boolean LARGE = "1".equals(System.getenv("WS_LARGE"));
    static final int LARGEST = 131072;
    private static final PrintStream OUT = new PrintStream(System.out, true, StandardCharsets.UTF_8);

    static synchronized void open(String protocol) {
        OUT.println("open " + (protocol == null ? "" : protocol));
    }

    static synchronized void text(String message) {
        OUT.println("text " + message);
    }

    static synchronized void closed(int code, String reason) {
        OUT.println("close " + code + " " + (reason == null ? "" : reason));
        Runtime.getRuntime().halt(0);
    }

    static synchronized void failed(Throwable error) {
        OUT.println("error " + String.valueOf(error).replace('\n', ' '));
        Runtime.getRuntime().halt(0);
    }

    static synchronized void print(String line) {
        OUT.println(line);
    }

    /** Sends what comes, in a thread of its own, and ends when it ends. */
    static void feed(Consumer<String> send, Runnable end) {
        Thread reader = new Thread(() -> {
            new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8)).lines().forEach(send);
            end.run();
        });
        reader.setDaemon(true);
        reader.start();
    }

    /** For libraries that work in threads of their own. */
    static void stay() throws InterruptedException {
        Thread.currentThread().join();
    }
}
