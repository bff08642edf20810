#!/usr/bin/env bash
# Vert.x 5.0.7: a WebSocketClient that nobody holds is closed by the garbage collector, even in the middle of connecting.
#
# `vertx.createWebSocketClient().connect(…)` in one expression works or fails by when the collector runs: then the handshake ends
# with "Connection closed while handshake in process", though the server answered rightly. Held in a field it connects.
# Exit code 0: as described. 1: it behaves otherwise now.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
cat >pom.xml <<'XML'
<project><modelVersion>4.0.0</modelVersion><groupId>t</groupId><artifactId>t</artifactId><version>1</version>
<properties><maven.compiler.source>17</maven.compiler.source><maven.compiler.target>17</maven.compiler.target></properties>
<dependencies><dependency><groupId>io.vertx</groupId><artifactId>vertx-core</artifactId><version>5.0.7</version></dependency></dependencies></project>
XML
mkdir -p src/main/java
cat >src/main/java/Try.java <<'JAVA'
import io.vertx.core.Future;
import io.vertx.core.Vertx;
import io.vertx.core.http.WebSocket;
import io.vertx.core.http.WebSocketClient;
import java.util.concurrent.TimeUnit;

public final class Try {
    static WebSocketClient held;

    public static void main(String[] args) throws Exception {
        Vertx vertx = Vertx.vertx();
        int port = vertx.createHttpServer()
                // The server takes its time, as one does that checks a token.
                .webSocketHandshakeHandler(shake -> vertx.setTimer(1000, late -> shake.accept()))
                .webSocketHandler(ws -> {})
                .listen(0).toCompletionStage().toCompletableFuture().get(10, TimeUnit.SECONDS).actualPort();
        String loose = outcome(vertx.createWebSocketClient().connect(port, "127.0.0.1", "/"));
        held = vertx.createWebSocketClient();
        String kept = outcome(held.connect(port, "127.0.0.1", "/"));
        System.out.println("not held: " + loose);
        System.out.println("held:     " + kept);
        Runtime.getRuntime().halt(!loose.equals("connected") && kept.equals("connected") ? 0 : 1);
    }

    static String outcome(Future<WebSocket> connecting) {
        System.gc();
        try {
            connecting.toCompletionStage().toCompletableFuture().get(10, TimeUnit.SECONDS);
            return "connected";
        } catch (Exception error) {
            return String.valueOf(error.getCause());
        }
    }
}
JAVA
mvn -q compile org.apache.maven.plugins:maven-dependency-plugin:3.9.0:build-classpath -Dmdep.outputFile=classpath >/dev/null
grep -o 'vertx-core-[0-9.]*jar' classpath
java -cp "target/classes:$(cat classpath)" Try 2>/dev/null
