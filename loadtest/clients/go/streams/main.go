// Command streams is what every Go client of event streams does here: `streams NAME` prints what it gets, until its input ends.
//
// `open`, `event <id> <data>`, `error <why>` and `end <why>` (it will not come back) are the lines of the standard output.
package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"

	launchdarkly "github.com/launchdarkly/eventsource"
	r3labs "github.com/r3labs/sse/v2"
	tmaxmax "github.com/tmaxmax/go-sse"
)

var (
	url    = os.Getenv("SSE_URL")
	bearer = os.Getenv("SSE_BEARER")
	// setting tells whether the one that the table names is to be used.
	setting = os.Getenv("SSE_SETTING") == "1"
)

const largest = 131072

func say(kind string, text ...any) {
	fmt.Println(kind, strings.ReplaceAll(strings.TrimSuffix(fmt.Sprintln(text...), "\n"), "\n", " "))
}

func useR3labs() {
	options := []func(*r3labs.Client){}
	if setting {
		options = append(options, r3labs.ClientMaxBufferSize(largest))
	}
	client := r3labs.NewClient(url, options...)
	if bearer != "" {
		client.Headers["Authorization"] = "Bearer " + bearer
	}
	client.OnConnect(func(*r3labs.Client) { say("open") })
	err := client.SubscribeRaw(func(event *r3labs.Event) { say("event", string(event.ID), string(event.Data)) })
	say("end", err)
}

func request() *http.Request {
	request, err := http.NewRequest(http.MethodGet, url, http.NoBody)
	if err != nil {
		panic(err)
	}
	if bearer != "" {
		request.Header.Set("Authorization", "Bearer "+bearer)
	}
	return request
}

func useTmaxmax() {
	connection := tmaxmax.NewConnection(request().WithContext(context.Background()))
	if setting {
		connection.Buffer(nil, largest)
	}
	connection.SubscribeToAll(func(event tmaxmax.Event) { say("event", event.LastEventID, event.Data) })
	say("end", connection.Connect())
}

func useLaunchDarkly() {
	stream, err := launchdarkly.SubscribeWithRequestAndOptions(request(), launchdarkly.StreamOptionErrorHandler(
		func(err error) launchdarkly.StreamErrorHandlerResult {
			say("error", err)
			return launchdarkly.StreamErrorHandlerResult{}
		}))
	if err != nil {
		say("end", err)
		return
	}
	for event := range stream.Events {
		say("event", event.Id(), event.Data())
	}
	say("end", "no more")
}

func main() {
	go map[string]func(){"r3labs": useR3labs, "tmaxmax": useTmaxmax, "launchdarkly": useLaunchDarkly}[os.Args[1]]()
	io.Copy(io.Discard, os.Stdin)
}
