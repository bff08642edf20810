import io.netty.bootstrap.Bootstrap;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelInitializer;
import io.netty.channel.MultiThreadIoEventLoopGroup;
import io.netty.channel.SimpleChannelInboundHandler;
import io.netty.channel.nio.NioIoHandler;
import io.netty.channel.socket.SocketChannel;
import io.netty.channel.socket.nio.NioSocketChannel;
import io.netty.handler.codec.http.DefaultHttpHeaders;
import io.netty.handler.codec.http.HttpClientCodec;
import io.netty.handler.codec.http.HttpObjectAggregator;
import io.netty.handler.codec.http.websocketx.CloseWebSocketFrame;
import io.netty.handler.codec.http.websocketx.TextWebSocketFrame;
import io.netty.handler.codec.http.websocketx.WebSocketClientProtocolConfig;
import io.netty.handler.codec.http.websocketx.WebSocketClientProtocolHandler;
import io.netty.handler.codec.http.websocketx.WebSocketFrame;
import io.netty.handler.codec.http.websocketx.WebSocketFrameAggregator;
import io.netty.handler.codec.http.websocketx.extensions.compression.WebSocketClientCompressionHandler;
import java.net.URI;

final class NettyPipe extends SimpleChannelInboundHandler<WebSocketFrame> {
    public static void main(String[] args) throws Exception {
        URI uri = URI.create(Pipe.URL);
        DefaultHttpHeaders headers = new DefaultHttpHeaders();
        if (Pipe.AUTHORIZATION != null) {
            headers.add("Authorization", Pipe.AUTHORIZATION);
        }
        WebSocketClientProtocolConfig.Builder config = WebSocketClientProtocolConfig.newBuilder()
                .webSocketUri(uri).customHeaders(headers).allowExtensions(Pipe.COMPRESS).handleCloseFrames(false);
        if (!Pipe.PROTOCOLS.isEmpty()) {
            config.subprotocol(String.join(",", Pipe.PROTOCOLS));
        }
        if (Pipe.LARGE) {
            config.maxFramePayloadLength(Pipe.LARGEST);
        }
        new Bootstrap().group(new MultiThreadIoEventLoopGroup(1, NioIoHandler.newFactory())).channel(NioSocketChannel.class)
                .handler(new ChannelInitializer<SocketChannel>() {
                    @Override
                    protected void initChannel(SocketChannel channel) {
                        channel.pipeline().addLast(new HttpClientCodec(), new HttpObjectAggregator(65536));
                        if (Pipe.COMPRESS) {
                            channel.pipeline().addLast(new WebSocketClientCompressionHandler(0));
                        }
                        channel.pipeline().addLast(new WebSocketClientProtocolHandler(config.build()),
                                new WebSocketFrameAggregator(Pipe.LARGEST), new NettyPipe());
                    }
                }).connect(uri.getHost(), uri.getPort()).sync();
        Pipe.stay();
    }

    @Override
    public void userEventTriggered(ChannelHandlerContext context, Object event) {
        if (event == WebSocketClientProtocolHandler.ClientHandshakeStateEvent.HANDSHAKE_COMPLETE) {
            Pipe.open(context.pipeline().get(WebSocketClientProtocolHandler.class).handshaker().actualSubprotocol());
            Pipe.feed(line -> context.writeAndFlush(new TextWebSocketFrame(line)),
                    () -> context.writeAndFlush(new CloseWebSocketFrame(1000, "")));
        }
    }

    @Override
    protected void channelRead0(ChannelHandlerContext context, WebSocketFrame frame) {
        if (frame instanceof TextWebSocketFrame text) {
            Pipe.text(text.text());
        } else if (frame instanceof CloseWebSocketFrame close) {
            Pipe.closed(close.statusCode(), close.reasonText());
        }
    }

    @Override
    public void exceptionCaught(ChannelHandlerContext context, Throwable error) {
        Pipe.failed(error);
    }
}
