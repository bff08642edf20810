// Does Envoy's own API take envoy.yaml? Envoy itself comes from no package registry; the types of its messages do.
//
//	cd deploy/envoy/check && go run . ../envoy.yaml
//
// Every field must exist, every value keep the limits its type declares. What Envoy alone knows (whether a name of a
// retry policy is one, say) is not seen.
package main

import (
	"fmt"
	"os"

	bootstrap "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	manager "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/retry/host/previous_hosts/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"sigs.k8s.io/yaml"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: check envoy.yaml")
		os.Exit(64)
	}
	if err := check(os.Args[1]); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", os.Args[1], err)
		os.Exit(1)
	}
	fmt.Println(os.Args[1], "is valid")
}

func check(file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	json, err := yaml.YAMLToJSONStrict(text)
	if err != nil {
		return err
	}
	var config bootstrap.Bootstrap
	if err := protojson.Unmarshal(json, &config); err != nil {
		return err
	}
	if err := config.ValidateAll(); err != nil {
		return err
	}
	// What is wrapped in an Any keeps its limits to itself.
	for _, listener := range config.GetStaticResources().GetListeners() {
		for _, chain := range listener.GetFilterChains() {
			for _, filter := range chain.GetFilters() {
				var http manager.HttpConnectionManager
				if err := filter.GetTypedConfig().UnmarshalTo(&http); err != nil {
					return err
				}
				if err := http.ValidateAll(); err != nil {
					return err
				}
			}
		}
	}
	return nil
}
