// Can a client of oapi-codegen publish and list?
package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"strings"
)

var (
	tenant = os.Getenv("CARILLON_TENANT")
	unique = os.Getenv("CARILLON_UNIQUE")
	kind   = "generated." + unique
)

func main() {
	key := func(_ context.Context, request *http.Request) error {
		request.Header.Set("Authorization", "Bearer "+os.Getenv("CARILLON_API_KEY"))
		return nil
	}
	client, err := NewClientWithResponses(os.Getenv("CARILLON_PUBLISHER"), WithRequestEditorFn(key))
	if err != nil {
		panic(err)
	}
	ctx := context.Background()
	check("publish", func() (bool, error) {
		var data any = map[string]any{"n": 1}
		event := PlainEvent{Type: kind, Tenant: &tenant, Users: &[]string{"42"}, Data: &data}
		answer, err := client.PublishEventWithResponse(ctx, &PublishEventParams{IdempotencyKey: &unique}, event)
		return err == nil && answer.JSON201 != nil && answer.JSON201.Seq > 0, err
	})
	check("batch", func() (bool, error) {
		wide, high := true, PriorityHigh
		events := []PlainEvent{
			{Type: kind, Tenant: &tenant, Channels: &[]string{"contact:1"}},
			{Type: kind, Tenant: &tenant, TenantWide: &wide, Priority: &high},
		}
		answer, err := client.PublishEventBatchWithResponse(ctx, &PublishEventBatchParams{}, events)
		return err == nil && answer.JSON201 != nil && len(*answer.JSON201) == 2, err
	})
	check("CloudEvent", func() (bool, error) {
		event := CloudEvent{Specversion: "1.0", Id: "c-" + unique, Source: "/generated", Type: kind, Tenant: &tenant, Channels: &[]string{"contact:1"}}
		answer, err := client.PublishCloudEventWithApplicationCloudeventsPlusJSONBodyWithResponse(ctx, &PublishCloudEventParams{}, event)
		return err == nil && answer.JSON201 != nil && answer.JSON201.Id == event.Id, err
	})
	check("binary", func() (bool, error) {
		id, users := "b-"+unique, `["Smith, John"]`
		attributes := PublishBinaryCloudEventParams{CeSpecversion: "1.0", CeId: id, CeSource: "/generated", CeType: kind, CeTenant: &tenant, CeUsers: &users}
		answer, err := client.PublishBinaryCloudEventWithBodyWithResponse(ctx, &attributes, "text/plain", strings.NewReader("data"))
		return err == nil && answer.JSON201 != nil && answer.JSON201.Id == id, err
	})
	check("list", func() (bool, error) {
		limit := int32(10)
		answer, err := client.ListEventsWithResponse(ctx, &ListEventsParams{Tenant: &tenant, Type: &kind, Limit: &limit})
		if err != nil || answer.JSON200 == nil {
			return false, err
		}
		all := len(answer.JSON200.Events) == 5
		for _, row := range answer.JSON200.Events {
			all = all && row.Event.Type == kind
		}
		return all, nil
	})
}

func check(name string, body func() (bool, error)) {
	if held, err := body(); held {
		fmt.Println("ok", name)
	} else {
		fmt.Printf("FAIL %s: %v\n", name, err)
	}
}
