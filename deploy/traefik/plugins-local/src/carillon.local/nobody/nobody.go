// Package nobody says what the contract says when no gateway or publisher can answer: a problem with Retry-After, which pages may
// read (it says nothing of anybody). That a page may ask for it, with any header, is said by the preflight. An EventSource ends for good at any
// status but 200: it is told when to come back.
//
// Traefik interprets this file; the standard library is all it may use.
package nobody

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net/http"
)

// Config has nothing to choose.
type Config struct{}

// CreateConfig is what Traefik asks for first.
func CreateConfig() *Config { return &Config{} }

// New is what Traefik asks for next. Nothing is asked behind it.
func New(_ context.Context, _ http.Handler, _ *Config, _ string) (http.Handler, error) {
	return http.HandlerFunc(answer), nil
}

func answer(w http.ResponseWriter, r *http.Request) {
	id := make([]byte, 16)
	_, _ = rand.Read(id)
	head := w.Header()
	head.Set("Cache-Control", "no-store")
	head.Set("X-Request-Id", hex.EncodeToString(id))
	head.Set("Access-Control-Allow-Origin", "*")
	head.Set("Access-Control-Allow-Methods", "GET,POST,PUT,DELETE")
	head.Set("Access-Control-Allow-Headers", r.Header.Get("Access-Control-Request-Headers"))
	head.Set("Access-Control-Expose-Headers", "Retry-After,X-Request-Id")
	if r.Method == http.MethodOptions {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	if r.URL.Path == "/v1/sse" {
		head.Set("Content-Type", "text/event-stream")
		// One to three seconds, so that those who are sent away together do not come back together.
		fmt.Fprintf(w, "retry: %d\ndata: {\"type\":\"error\",\"code\":\"unavailable\",\"message\":\"no gateway answers now; come back\"}\n\n", 1000+(int(id[0])<<8|int(id[1]))*2000/65536)
		return
	}
	head.Set("Content-Type", "application/problem+json")
	head.Set("Retry-After", "1")
	w.WriteHeader(http.StatusServiceUnavailable)
	fmt.Fprintf(w, `{"type":"urn:carillon:problem:unavailable","title":"Service Unavailable","status":503,"code":"unavailable","detail":"nobody answers now; repeat with the same idempotency key","request_id":"%x"}`, id)
}
