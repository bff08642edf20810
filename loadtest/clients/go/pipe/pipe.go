// Package pipe is what every Go client here does: lines of the standard input are sent, messages are printed.
//
// `open`, `text <message>`, `close <code> <reason>` and `error <why>` are the lines of the standard output.
package pipe

import (
	"bufio"
	"fmt"
	"net/http"
	"os"
	"strings"
)

// Largest is more than any frame a gateway sends.
const Largest = 131072

var (
	URL       = os.Getenv("WS_URL")
	Bearer    = os.Getenv("WS_BEARER")
	Protocols = strings.FieldsFunc(os.Getenv("WS_PROTOCOLS"), func(r rune) bool { return r == ',' })
	Compress  = os.Getenv("WS_COMPRESS") == "1"
	// Large tells whether the library's setting for large messages is to be used.
	Large = os.Getenv("WS_LARGE") == "1"
)

// Header has the token, if it goes there.
func Header() http.Header {
	header := http.Header{}
	if Bearer != "" {
		header.Set("Authorization", "Bearer "+Bearer)
	}
	return header
}

func Open(protocol string)           { fmt.Println("open", protocol) }
func Text(message []byte)            { fmt.Printf("text %s\n", message) }
func Closed(code int, reason string) { fmt.Println("close", code, reason); os.Exit(0) }
func Failed(err error)               { fmt.Println("error", strings.ReplaceAll(err.Error(), "\n", " ")); os.Exit(0) }

// Feed sends what comes, in a goroutine of its own, and ends when it ends.
func Feed(send func(string) error, end func()) {
	go func() {
		lines := bufio.NewScanner(os.Stdin)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			if send(lines.Text()) != nil {
				return
			}
		}
		end()
	}()
}
