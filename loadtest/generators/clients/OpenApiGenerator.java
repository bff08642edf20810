// Can openapi-generator's Java client publish and list?
import java.io.File;
import java.nio.file.Files;
import java.time.OffsetDateTime;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import org.openapitools.client.ApiClient;
import org.openapitools.client.api.EventsApi;
import org.openapitools.client.model.CloudEvent;
import org.openapitools.client.model.LogEntry;
import org.openapitools.client.model.PlainEvent;
import org.openapitools.client.model.Priority;

public final class OpenApiGenerator {
    static final String TENANT = System.getenv("CARILLON_TENANT");
    static final String UNIQUE = System.getenv("CARILLON_UNIQUE");
    static final String TYPE = "generated." + UNIQUE;

    public static void main(String[] args) {
        ApiClient client = new ApiClient();
        client.setBasePath(System.getenv("CARILLON_PUBLISHER"));
        client.setBearerToken(System.getenv("CARILLON_API_KEY"));
        EventsApi api = new EventsApi(client);
        check("publish", () -> {
            PlainEvent event = event().users(List.of("42")).data(Map.of("n", 1)).time(OffsetDateTime.now());
            return api.publishEvent(event).idempotencyKey(UNIQUE).execute().getSeq() > 0;
        });
        check("batch", () -> {
            PlainEvent other = event().tenantWide(true).priority(Priority.HIGH);
            return api.publishEventBatch(List.of(event().channels(List.of("contact:1")), other)).execute().size() == 2;
        });
        check("CloudEvent", () -> {
            CloudEvent event = new CloudEvent().specversion(CloudEvent.SpecversionEnum._1_0).id("c-" + UNIQUE)
                    .source("/generated").type(TYPE).tenant(TENANT).channels(List.of("contact:1"));
            return api.publishCloudEvent(event).execute().getId().equals("c-" + UNIQUE);
        });
        check("binary", () -> {
            File data = File.createTempFile("data", null);
            Files.writeString(data.toPath(), "data");
            return api.publishBinaryCloudEvent("1.0", "b-" + UNIQUE, "/generated", TYPE, data).ceTenant(TENANT)
                    .ceUsers("[\"Smith, John\"]").execute().getId().equals("b-" + UNIQUE);
        });
        check("list", () -> {
            List<LogEntry> rows = api.listEvents().tenant(TENANT).type(TYPE).limit(10).execute().getEvents();
            return rows.size() == 5 && rows.stream().allMatch(row -> row.getEvent().getType().equals(TYPE));
        });
        // The HTTP library keeps threads for a minute.
        System.exit(0);
    }

    static PlainEvent event() {
        return new PlainEvent().type(TYPE).tenant(TENANT);
    }

    static void check(String name, Callable<Boolean> body) {
        try {
            System.out.println(body.call() ? "ok " + name : "FAIL " + name);
        } catch (Exception error) {
            System.out.println("FAIL " + name + ": " + error);
        }
    }
}
