#!/usr/bin/env bash
# github.com/zishang520/socket.io/clients/socket/v3 v3.0.6 (Go): over polling what is emitted waits until the poll before it is answered.
#
# Other clients send a POST beside the poll that waits; this one has one request at a time. With socket.io 4.8.4 and a ping every 3 s
# an acknowledgement comes after some 3 s (the ping answers the poll), over WebSocket at once. So with the usual ping interval of 25 s an
# emit may take 25 s. Exit code 0: as described. 1: it behaves otherwise now.
set -euo pipefail
work=$(mktemp -d)
server=
trap '[[ -z $server ]] || kill "$server"; rm -rf "$work"' EXIT
mkdir "$work/server" "$work/client"
cd "$work/server"
npm install --no-audit --no-fund --loglevel=error socket.io@4.8.4 >&2
cat >server.mjs <<'JS'
import { createServer } from 'node:http'
import { Server } from 'socket.io'
const http = createServer()
new Server(http, { pingInterval: 3000 }).on('connection', (socket) => socket.on('hello', (done) => done()))
http.listen(0, '127.0.0.1', () => console.log(http.address().port))
JS
node server.mjs >port &
server=$!
until [[ -s port ]]; do sleep 0.1; done
cd "$work/client"
cat >main.go <<'GO'
package main

import (
	"fmt"
	"os"
	"time"

	"github.com/zishang520/socket.io/clients/engine/v3/transports"
	"github.com/zishang520/socket.io/clients/socket/v3"
	"github.com/zishang520/socket.io/v3/pkg/types"
)

func answered(url string, transport transports.TransportCtor) time.Duration {
	options := socket.DefaultOptions()
	options.SetForceNew(true)
	options.SetTransports(types.NewSet(transport))
	client := socket.NewManager(url, options).Socket("/", socket.DefaultSocketOptions())
	done := make(chan time.Duration, 1)
	client.On("connect", func(...any) {
		go func() {
			// The next poll is on its way.
			time.Sleep(500 * time.Millisecond)
			begun := time.Now()
			client.Emit("hello", func([]any, error) { done <- time.Since(begun) })
		}()
	})
	client.Connect()
	select {
	case took := <-done:
		return took
	case <-time.After(15 * time.Second):
		return -1
	}
}

func main() {
	polling, websocket := answered(os.Args[1], transports.Polling), answered(os.Args[1], transports.WebSocket)
	fmt.Println("polling:  ", polling)
	fmt.Println("websocket:", websocket)
	if polling < time.Second || websocket < 0 || websocket > time.Second {
		os.Exit(1)
	}
}
GO
go mod init try >/dev/null 2>&1
go get github.com/zishang520/socket.io/clients/socket/v3@v3.0.6 >/dev/null 2>&1
go mod tidy >/dev/null 2>&1
go run . "http://127.0.0.1:$(cat "$work/server/port")"
