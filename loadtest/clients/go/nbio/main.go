package main

import (
	"carillon/clients/pipe"
	"github.com/lesismal/nbio/nbhttp"
	"github.com/lesismal/nbio/nbhttp/websocket"
)

func main() {
	engine := nbhttp.NewEngine(nbhttp.Config{})
	if err := engine.Start(); err != nil {
		pipe.Failed(err)
	}
	code, reason := 1006, ""
	upgrader := websocket.NewUpgrader()
	upgrader.EnableCompression(pipe.Compress)
	upgrader.OnMessage(func(_ *websocket.Conn, _ websocket.MessageType, message []byte) { pipe.Text(message) })
	upgrader.SetCloseHandler(func(conn *websocket.Conn, got int, text string) {
		code, reason = got, text
		conn.WriteClose(got, text)
		conn.Close()
	})
	upgrader.OnClose(func(*websocket.Conn, error) { pipe.Closed(code, reason) })
	dialer := websocket.Dialer{Engine: engine, Upgrader: upgrader, Subprotocols: pipe.Protocols, EnableCompression: pipe.Compress}
	conn, _, err := dialer.Dial(pipe.URL, pipe.Header())
	if err != nil {
		pipe.Failed(err)
	}
	pipe.Open(conn.Subprotocol())
	pipe.Feed(func(line string) error { return conn.WriteMessage(websocket.TextMessage, []byte(line)) }, func() { conn.WriteClose(1000, "") })
	select {}
}
