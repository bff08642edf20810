import io.ktor.client.HttpClient
import io.ktor.client.engine.cio.CIO
import io.ktor.client.plugins.websocket.WebSockets
import io.ktor.client.plugins.websocket.webSocket
import io.ktor.client.request.header
import io.ktor.websocket.CloseReason
import io.ktor.websocket.Frame
import io.ktor.websocket.WebSocketDeflateExtension
import io.ktor.websocket.close
import io.ktor.websocket.readText
import kotlinx.coroutines.runBlocking

fun main() = runBlocking {
    val client = HttpClient(CIO) {
        install(WebSockets) {
            if (Pipe.COMPRESS) extensions { install(WebSocketDeflateExtension) }
        }
    }
    try {
        client.webSocket(Pipe.URL, {
            Pipe.AUTHORIZATION?.let { header("Authorization", it) }
            if (Pipe.PROTOCOLS.isNotEmpty()) header("Sec-WebSocket-Protocol", Pipe.PROTOCOLS.joinToString(", "))
        }) {
            Pipe.open("")
            Pipe.feed({ runBlocking { outgoing.send(Frame.Text(it)) } }, { runBlocking { close() } })
            for (frame in incoming) if (frame is Frame.Text) Pipe.text(frame.readText())
            val end: CloseReason? = closeReason.await()
            Pipe.closed(end?.code?.toInt() ?: 1006, end?.message)
        }
    } catch (error: Exception) {
        Pipe.failed(error)
    }
}
