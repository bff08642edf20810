package main

import (
	"carillon/clients/pipe"
	"golang.org/x/net/websocket"
)

func main() {
	config, err := websocket.NewConfig(pipe.URL, "http://localhost/")
	if err != nil {
		pipe.Failed(err)
	}
	config.Header, config.Protocol = pipe.Header(), pipe.Protocols
	conn, err := websocket.DialConfig(config)
	if err != nil {
		pipe.Failed(err)
	}
	pipe.Open("")
	pipe.Feed(func(line string) error { return websocket.Message.Send(conn, line) }, func() { conn.Close() })
	for {
		var message []byte
		if err := websocket.Message.Receive(conn, &message); err != nil {
			pipe.Failed(err)
		}
		pipe.Text(message)
	}
}
