//! Can a client of progenitor publish and list?

use serde_json::json;
use std::env::var;

progenitor::generate_api!(spec = "openapi-3.0.json", interface = Builder);

type Failure = Box<dyn std::error::Error>;

fn told(name: &str, result: Result<bool, Failure>) {
    match result {
        Ok(true) => println!("ok {name}"),
        Ok(false) => println!("FAIL {name}"),
        Err(error) => println!("FAIL {name}: {error}"),
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let (tenant, unique) = (var("CARILLON_TENANT")?, var("CARILLON_UNIQUE")?);
    let kind = format!("generated.{unique}");
    let mut headers = reqwest::header::HeaderMap::new();
    headers.insert("authorization", format!("Bearer {}", var("CARILLON_API_KEY")?).parse()?);
    let http = reqwest::Client::builder().default_headers(headers).build()?;
    let client = Client::new_with_client(&var("CARILLON_PUBLISHER")?, http);

    told("publish", publish(&client, &kind, &tenant, &unique).await);
    told("batch", batch(&client, &kind, &tenant).await);
    told("CloudEvent", cloudevent(&client, &kind, &tenant, &unique).await);
    told("binary", binary(&client, &kind, &tenant, &unique).await);
    told("list", list(&client, &kind, &tenant).await);
    Ok(())
}

async fn publish(client: &Client, kind: &str, tenant: &str, unique: &str) -> Result<bool, Failure> {
    let event = types::PlainEvent::builder()
        .type_(kind)
        .tenant(types::PlainEventTenant::try_from(tenant)?)
        .users(vec!["42".parse::<types::PlainEventUsersItem>()?])
        .data(json!({"n": 1}));
    let receipt = client.publish_event().idempotency_key(unique).body(event).send().await?;
    Ok(receipt.seq.get() > 0)
}

async fn batch(client: &Client, kind: &str, tenant: &str) -> Result<bool, Failure> {
    let events: Vec<types::PlainEvent> = serde_json::from_value(json!([
        {"type": kind, "tenant": tenant, "channels": ["contact:1"]},
        {"type": kind, "tenant": tenant, "tenant_wide": true, "priority": "high"},
    ]))?;
    Ok(client.publish_event_batch().body(events).send().await?.len() == 2)
}

async fn cloudevent(client: &Client, kind: &str, tenant: &str, unique: &str) -> Result<bool, Failure> {
    let id = format!("c-{unique}");
    let event: types::CloudEvent = serde_json::from_value(json!({
        "specversion": "1.0", "id": id, "source": "/generated", "type": kind, "tenant": tenant, "channels": ["contact:1"],
    }))?;
    Ok(*client.publish_cloud_event().body(event).send().await?.id == id)
}

async fn binary(client: &Client, kind: &str, tenant: &str, unique: &str) -> Result<bool, Failure> {
    let id = format!("b-{unique}");
    let asked = client
        .publish_binary_cloud_event()
        .ce_specversion(types::PublishBinaryCloudEventCeSpecversion::X10)
        .ce_id(id.clone())
        .ce_source("/generated")
        .ce_type(kind)
        .ce_tenant(tenant)
        .ce_users(r#"["Smith, John"]"#)
        .body("data");
    Ok(*asked.send().await?.id == id)
}

async fn list(client: &Client, kind: &str, tenant: &str) -> Result<bool, Failure> {
    let page = client.list_events().tenant(tenant).type_(kind).limit(10).send().await?;
    Ok(page.events.len() == 5 && page.events.iter().all(|row| row.event.type_ == kind))
}
