#!/usr/bin/env bash
# Netty 4.2.18: the stock client for compression ends the connection when the answer has `client_no_context_takeover`.
#
# WebSocketClientCompressionHandler offers `permessage-deflate,deflate-frame,x-webkit-deflate-frame`. RFC 7692 section 7.1.1.2 lets
# a server answer with `client_no_context_takeover` though the offer does not name it; then the handshake fails. With
# `server_no_context_takeover` alone, which the offer does not name either, it succeeds.
# Exit code 0: as described. 1: it behaves otherwise now.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
cat >pom.xml <<'XML'
<project><modelVersion>4.0.0</modelVersion><groupId>t</groupId><artifactId>t</artifactId><version>1</version>
<properties><maven.compiler.source>17</maven.compiler.source><maven.compiler.target>17</maven.compiler.target></properties>
<dependencies><dependency><groupId>io.netty</groupId><artifactId>netty-codec-http</artifactId><version>4.2.18.Final</version></dependency></dependencies></project>
XML
mkdir -p src/main/java
cat >src/main/java/Try.java <<'JAVA'
import io.netty.bootstrap.Bootstrap;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelInboundHandlerAdapter;
import io.netty.channel.ChannelInitializer;
import io.netty.channel.MultiThreadIoEventLoopGroup;
import io.netty.channel.nio.NioIoHandler;
import io.netty.channel.socket.SocketChannel;
import io.netty.channel.socket.nio.NioSocketChannel;
import io.netty.handler.codec.http.HttpClientCodec;
import io.netty.handler.codec.http.HttpObjectAggregator;
import io.netty.handler.codec.http.websocketx.WebSocketClientProtocolConfig;
import io.netty.handler.codec.http.websocketx.WebSocketClientProtocolHandler;
import io.netty.handler.codec.http.websocketx.WebSocketClientProtocolHandler.ClientHandshakeStateEvent;
import io.netty.handler.codec.http.websocketx.extensions.compression.WebSocketClientCompressionHandler;
import java.net.ServerSocket;
import java.net.Socket;
import java.security.MessageDigest;
import java.util.Base64;
import java.util.Scanner;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;

public final class Try {
    public static void main(String[] args) throws Exception {
        String ours = outcome("permessage-deflate; server_no_context_takeover");
        String both = outcome("permessage-deflate; server_no_context_takeover; client_no_context_takeover");
        System.out.println("server_no_context_takeover alone: " + ours);
        System.out.println("with client_no_context_takeover:  " + both);
        Runtime.getRuntime().halt(ours.equals("connected") && !both.equals("connected") ? 0 : 1);
    }

    /** What becomes of a client that gets this answer to its offer. */
    static String outcome(String agreed) throws Exception {
        CompletableFuture<String> outcome = new CompletableFuture<>();
        try (ServerSocket server = new ServerSocket(0)) {
            new Thread(() -> answer(server, agreed)).start();
            WebSocketClientProtocolConfig config = WebSocketClientProtocolConfig.newBuilder()
                    .webSocketUri("ws://127.0.0.1:" + server.getLocalPort() + "/").allowExtensions(true).build();
            new Bootstrap().group(new MultiThreadIoEventLoopGroup(1, NioIoHandler.newFactory())).channel(NioSocketChannel.class)
                    .handler(new ChannelInitializer<SocketChannel>() {
                        @Override
                        protected void initChannel(SocketChannel channel) {
                            channel.pipeline().addLast(new HttpClientCodec(), new HttpObjectAggregator(65536),
                                    new WebSocketClientCompressionHandler(0), new WebSocketClientProtocolHandler(config),
                                    new ChannelInboundHandlerAdapter() {
                                        @Override
                                        public void userEventTriggered(ChannelHandlerContext context, Object event) {
                                            if (event == ClientHandshakeStateEvent.HANDSHAKE_COMPLETE) {
                                                outcome.complete("connected");
                                            }
                                        }

                                        @Override
                                        public void exceptionCaught(ChannelHandlerContext context, Throwable error) {
                                            outcome.complete(String.valueOf(error.getMessage()));
                                        }
                                    });
                        }
                    }).connect("127.0.0.1", server.getLocalPort()).sync();
            return outcome.get(10, TimeUnit.SECONDS);
        }
    }

    static void answer(ServerSocket server, String agreed) {
        try {
            Socket socket = server.accept();
            Scanner lines = new Scanner(socket.getInputStream(), "ISO-8859-1");
            String key = null;
            for (String line = lines.nextLine(); !line.isEmpty(); line = lines.nextLine()) {
                if (line.toLowerCase().startsWith("sec-websocket-key:")) {
                    key = line.substring(line.indexOf(':') + 1).trim();
                } else if (line.toLowerCase().startsWith("sec-websocket-extensions:")) {
                    System.out.println("offered: " + line.substring(line.indexOf(':') + 1).trim());
                }
            }
            byte[] digest = MessageDigest.getInstance("SHA-1").digest((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").getBytes());
            socket.getOutputStream().write(("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                    + "Sec-WebSocket-Accept: " + Base64.getEncoder().encodeToString(digest) + "\r\n"
                    + "Sec-WebSocket-Extensions: " + agreed + "\r\n\r\n").getBytes());
        } catch (Exception error) {
            error.printStackTrace();
        }
    }
}
JAVA
mvn -q compile org.apache.maven.plugins:maven-dependency-plugin:3.9.0:build-classpath -Dmdep.outputFile=classpath >/dev/null
grep -o 'netty-codec-http-[0-9.]*Final.jar' classpath
java -cp "target/classes:$(cat classpath)" Try 2>/dev/null
