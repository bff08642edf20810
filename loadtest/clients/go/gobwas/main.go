package main

import (
	"context"
	"errors"

	"carillon/clients/pipe"
	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
)

func main() {
	dialer := ws.Dialer{Header: ws.HandshakeHeaderHTTP(pipe.Header()), Protocols: pipe.Protocols}
	conn, early, shake, err := dialer.Dial(context.Background(), pipe.URL)
	if err != nil {
		pipe.Failed(err)
	}
	pipe.Open(shake.Protocol)
	pipe.Feed(func(line string) error { return wsutil.WriteClientText(conn, []byte(line)) }, func() {
		ws.WriteFrame(conn, ws.MaskFrame(ws.NewCloseFrame(ws.NewCloseFrameBody(ws.StatusNormalClosure, ""))))
	})
	var from interface {
		Read([]byte) (int, error)
		Write([]byte) (int, error)
	} = conn
	if early != nil {
		from = struct {
			reader
			writer
		}{early, conn}
	}
	for {
		message, err := wsutil.ReadServerText(from)
		var end wsutil.ClosedError
		if errors.As(err, &end) {
			pipe.Closed(int(end.Code), end.Reason)
		} else if err != nil {
			pipe.Failed(err)
		}
		pipe.Text(message)
	}
}

type reader interface{ Read([]byte) (int, error) }
type writer interface{ Write([]byte) (int, error) }
