package main

import (
	"context"
	"errors"

	"carillon/clients/pipe"
	"github.com/coder/websocket"
)

func main() {
	ctx := context.Background()
	options := &websocket.DialOptions{HTTPHeader: pipe.Header(), Subprotocols: pipe.Protocols}
	if pipe.Compress {
		options.CompressionMode = websocket.CompressionContextTakeover
	}
	conn, _, err := websocket.Dial(ctx, pipe.URL, options)
	if err != nil {
		pipe.Failed(err)
	}
	if pipe.Large {
		conn.SetReadLimit(pipe.Largest)
	}
	pipe.Open(conn.Subprotocol())
	pipe.Feed(func(line string) error { return conn.Write(ctx, websocket.MessageText, []byte(line)) }, func() {
		conn.Close(websocket.StatusNormalClosure, "")
		pipe.Closed(1000, "")
	})
	for {
		_, message, err := conn.Read(ctx)
		var end websocket.CloseError
		if errors.As(err, &end) {
			pipe.Closed(int(end.Code), end.Reason)
		} else if err != nil {
			pipe.Failed(err)
		}
		pipe.Text(message)
	}
}
