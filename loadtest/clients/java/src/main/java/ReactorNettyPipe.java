import java.nio.charset.StandardCharsets;
import reactor.core.publisher.Flux;
import reactor.core.publisher.Mono;
import reactor.core.publisher.Sinks;
import reactor.netty.http.client.HttpClient;
import reactor.netty.http.client.WebsocketClientSpec;

final class ReactorNettyPipe {
    public static void main(String[] args) throws Exception {
        WebsocketClientSpec.Builder spec = WebsocketClientSpec.builder().compress(Pipe.COMPRESS);
        if (!Pipe.PROTOCOLS.isEmpty()) {
            spec.protocols(String.join(",", Pipe.PROTOCOLS));
        }
        if (Pipe.LARGE) {
            spec.maxFramePayloadLength(Pipe.LARGEST);
        }
        Sinks.Many<String> lines = Sinks.many().unicast().onBackpressureBuffer();
        HttpClient.create()
                .headers(headers -> {
                    if (Pipe.AUTHORIZATION != null) {
                        headers.set("Authorization", Pipe.AUTHORIZATION);
                    }
                })
                .websocket(spec.build()).uri(Pipe.URL)
                .handle((in, out) -> {
                    Pipe.open(in.selectedSubprotocol());
                    Pipe.feed(lines::tryEmitNext, lines::tryEmitComplete);
                    in.receiveCloseStatus().subscribe(status -> Pipe.closed(status.code(), status.reasonText()));
                    Flux<String> texts = in.aggregateFrames(Pipe.LARGEST).receive().asString(StandardCharsets.UTF_8);
                    Mono<Void> receiving = texts.doOnNext(Pipe::text).then();
                    return Mono.when(receiving, out.sendString(lines.asFlux()).then(out.sendClose()));
                })
                .subscribe(nothing -> {}, Pipe::failed, () -> Pipe.closed(1006, ""));
        Pipe.stay();
    }
}
