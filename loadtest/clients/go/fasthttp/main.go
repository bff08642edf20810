package main

import (
	"time"

	"carillon/clients/pipe"
	"github.com/fasthttp/websocket"
)

func main() {
	dialer := websocket.Dialer{Subprotocols: pipe.Protocols, EnableCompression: pipe.Compress, HandshakeTimeout: 5 * time.Second}
	conn, _, err := dialer.Dial(pipe.URL, pipe.Header())
	if err != nil {
		pipe.Failed(err)
	}
	pipe.Open(conn.Subprotocol())
	pipe.Feed(func(line string) error { return conn.WriteMessage(websocket.TextMessage, []byte(line)) }, func() {
		conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(1000, ""), time.Now().Add(time.Second))
	})
	for {
		_, message, err := conn.ReadMessage()
		if end, ok := err.(*websocket.CloseError); ok {
			pipe.Closed(end.Code, end.Text)
		} else if err != nil {
			pipe.Failed(err)
		}
		pipe.Text(message)
	}
}
