// Command go-pipe does what node/pipe.mjs does, with the client for Go.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"sync"

	"github.com/zishang520/socket.io/clients/engine/v3/transports"
	"github.com/zishang520/socket.io/clients/socket/v3"
	"github.com/zishang520/socket.io/v3/pkg/types"
)

type line struct {
	Emit string `json:"emit"`
	Args []any  `json:"args"`
	Call *int   `json:"call"`
}

var out sync.Mutex

func say(what map[string]any) {
	text, err := json.Marshal(what)
	if err != nil {
		panic(err)
	}
	out.Lock()
	defer out.Unlock()
	fmt.Println(string(text))
}

func main() {
	auth := map[string]any{}
	if err := json.Unmarshal([]byte(os.Getenv("SIO_AUTH")), &auth); err != nil {
		panic(err)
	}
	resume := os.Getenv("SIO_RESUME") == "1"
	options := socket.DefaultOptions()
	options.SetForceNew(true)
	options.SetReconnectionDelay(100)
	options.SetReconnectionDelayMax(500)
	// Without an order of ours the library begins with either.
	wanted := types.NewSet[transports.TransportCtor]()
	for _, name := range strings.Split(os.Getenv("SIO_TRANSPORTS"), ",") {
		if name == "websocket" {
			wanted.Add(transports.WebSocket)
		} else {
			wanted.Add(transports.Polling)
		}
	}
	options.SetTransports(wanted)
	settings := socket.DefaultSocketOptions()
	settings.SetAuth(auth)
	namespace := os.Getenv("SIO_NAMESPACE")
	if namespace == "" {
		namespace = "/"
	}
	client := socket.NewManager(os.Getenv("SIO_URL"), options).Socket(namespace, settings)
	client.On("connect", func(...any) { say(map[string]any{"connect": map[string]any{"recovered": client.Recovered()}}) })
	client.On("disconnect", func(why ...any) { say(map[string]any{"disconnect": fmt.Sprint(why...)}) })
	client.On("connect_error", func(why ...any) {
		if refused, is := why[0].(*types.ExtendedError); is {
			say(map[string]any{"refused": map[string]any{"message": refused.Message, "data": refused.Data}})
			return
		}
		say(map[string]any{"refused": map[string]any{"message": fmt.Sprint(why...)}})
	})
	client.OnAny(func(all ...any) {
		for _, one := range all {
			if object, is := one.(map[string]any); is && resume && object["cursor"] != nil {
				auth["cursor"] = object["cursor"]
			}
		}
		say(map[string]any{"event": all[0], "args": all[1:]})
	})
	client.Connect()

	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var wanted line
		if err := json.Unmarshal(lines.Bytes(), &wanted); err != nil {
			panic(err)
		}
		if wanted.Call == nil {
			client.Emit(wanted.Emit, wanted.Args...)
			continue
		}
		client.Emit(wanted.Emit, append(wanted.Args, func(answer []any, _ error) {
			say(map[string]any{"answer": *wanted.Call, "args": answer})
		})...)
	}
}
