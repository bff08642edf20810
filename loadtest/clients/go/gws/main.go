package main

import (
	"errors"

	"carillon/clients/pipe"
	"github.com/lxzan/gws"
)

type client struct{ gws.BuiltinEventHandler }

func (client) OnMessage(_ *gws.Conn, message *gws.Message) {
	defer message.Close()
	pipe.Text(message.Bytes())
}

func (client) OnClose(_ *gws.Conn, err error) {
	var end *gws.CloseError
	if errors.As(err, &end) {
		pipe.Closed(int(end.Code), string(end.Reason))
	}
	pipe.Failed(err)
}

func main() {
	header := pipe.Header()
	for _, protocol := range pipe.Protocols {
		header.Add("Sec-WebSocket-Protocol", protocol)
	}
	if len(pipe.Protocols) > 1 {
		header.Set("Sec-WebSocket-Protocol", pipe.Protocols[0]+", "+pipe.Protocols[1])
	}
	option := &gws.ClientOption{Addr: pipe.URL, RequestHeader: header}
	option.PermessageDeflate.Enabled = pipe.Compress
	conn, _, err := gws.NewClient(client{}, option)
	if err != nil {
		pipe.Failed(err)
	}
	pipe.Open(conn.SubProtocol())
	pipe.Feed(func(line string) error { return conn.WriteMessage(gws.OpcodeText, []byte(line)) }, func() { conn.WriteClose(1000, nil) })
	conn.ReadLoop()
}
