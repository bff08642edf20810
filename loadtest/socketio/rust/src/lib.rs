//! What does every client for Rust do? The same as node/pipe.mjs.

use std::io::BufRead;

use serde_json::{Value, json};

/// What the pipe is to do, of the environment.
pub struct Wanted {
    /// Where to connect.
    pub url: String,
    /// With its slash.
    pub namespace: String,
    /// What goes into CONNECT.
    pub auth: Value,
    /// `websocket`, `polling` or both.
    pub transports: String,
    /// Whether the cursor goes into `auth` when it comes back.
    pub resume: bool,
}

/// A line of the standard input.
pub struct Line {
    /// The name of the event.
    pub emit: String,
    /// Its arguments.
    pub args: Vec<Value>,
    /// Names the callback.
    pub call: Option<u64>,
}

/// Reads the environment.
pub fn wanted() -> Wanted {
    let read = |name: &str| std::env::var(name).unwrap_or_default();
    let namespace = Some(read("SIO_NAMESPACE")).filter(|name| !name.is_empty());
    Wanted {
        url: read("SIO_URL"),
        namespace: namespace.unwrap_or_else(|| "/".into()),
        auth: serde_json::from_str(&read("SIO_AUTH")).expect("SIO_AUTH is JSON"),
        transports: read("SIO_TRANSPORTS"),
        resume: read("SIO_RESUME") == "1",
    }
}

/// Prints a line.
pub fn say(line: &Value) {
    println!("{line}");
}

/// The arguments of an event, printed; the cursor in them, if there is one.
pub fn came(event: &str, args: &[Value]) -> Option<Value> {
    say(&json!({"event": event, "args": args}));
    args.iter().rev().find_map(|argument| argument.get("cursor")).cloned()
}

/// Where in the log a cursor stands; none is before all.
pub fn position(cursor: &Value) -> Option<u64> {
    cursor.as_str()?.rsplit_once(':')?.1.parse().ok()
}

/// What is to be emitted, until the end of the standard input.
pub fn lines() -> impl Iterator<Item = Line> {
    std::io::stdin().lock().lines().map_while(Result::ok).map(|text| {
        let line: Value = serde_json::from_str(&text).expect("a line is JSON");
        Line {
            emit: line["emit"].as_str().unwrap_or_default().to_owned(),
            args: line["args"].as_array().cloned().unwrap_or_default(),
            call: line["call"].as_u64(),
        }
    })
}

/// The program, for either of two libraries with the same names; `$rest` matches what their payloads have beside the values.
#[macro_export]
macro_rules! pipe {
    ($library:ident, $($rest:tt)*) => {
        use std::sync::{Arc, Mutex};
        use std::time::Duration;

        use futures_util::FutureExt;
        use serde_json::{Value, json};
        use $library::asynchronous::{Client, ClientBuilder, ReconnectSettings};
        use $library::{Event, Payload, TransportType};

        fn values(payload: Payload) -> Vec<Value> {
            match payload {
                Payload::Text(values $($rest)*) => values,
                other => vec![json!(format!("{other:?}"))],
            }
        }

        #[tokio::main]
        async fn main() {
            let wanted = carillon_socketio_clients::wanted();
            let auth = Arc::new(Mutex::new(wanted.auth.clone()));
            let again = auth.clone();
            let transport = match wanted.transports.as_str() {
                "websocket" => TransportType::Websocket,
                "polling" => TransportType::Polling,
                _ => TransportType::Any,
            };
            let told = |name: &'static str| {
                move |payload: Payload, _: Client| {
                    async move {
                        let line = match name {
                            "connect" => json!({"connect": {}}),
                            "refused" => json!({"refused": carillon_socketio_clients::refused(&values(payload))}),
                            _ => json!({name: values(payload)}),
                        };
                        carillon_socketio_clients::say(&line);
                    }
                    .boxed()
                }
            };
            let resume = wanted.resume;
            let client = ClientBuilder::new(wanted.url)
                .namespace(wanted.namespace)
                .auth(wanted.auth)
                .transport_type(transport)
                .reconnect(true)
                .reconnect_on_disconnect(true)
                .reconnect_delay(100, 500)
                .on(Event::Connect, told("connect"))
                .on(Event::Close, told("disconnect"))
                .on(Event::Error, told("refused"))
                .on_any(move |event, payload, _| {
                    let cursor = carillon_socketio_clients::came(event.as_str(), &values(payload));
                    // Handlers may run in any order, so the cursor that counts is the furthest.
                    let mut auth = auth.lock().expect("nobody panics");
                    if let (true, Some(cursor)) = (resume, cursor)
                        && carillon_socketio_clients::position(&cursor) > carillon_socketio_clients::position(&auth["cursor"])
                    {
                        auth["cursor"] = cursor;
                    }
                    drop(auth);
                    async {}.boxed()
                })
                .on_reconnect(move || {
                    let auth = again.lock().expect("nobody panics").clone();
                    async move {
                        let mut settings = ReconnectSettings::new();
                        settings.auth(auth);
                        settings
                    }
                    .boxed()
                })
                .connect()
                .await;
            let client = match client {
                Ok(client) => client,
                Err(error) => return carillon_socketio_clients::say(&json!({"gave_up": error.to_string()})),
            };
            let (send, mut lines) = tokio::sync::mpsc::unbounded_channel();
            std::thread::spawn(move || carillon_socketio_clients::lines().try_for_each(|line| send.send(line)));
            while let Some(line) = lines.recv().await {
                let emitted = match line.call {
                    None => client.emit(line.emit, line.args).await,
                    Some(call) => {
                        let answered = move |payload: Payload, _: Client| {
                            carillon_socketio_clients::say(&json!({"answer": call, "args": values(payload)}));
                            async {}.boxed()
                        };
                        client.emit_with_ack(line.emit, line.args, Duration::from_secs(20), answered).await
                    }
                };
                if let Err(error) = emitted {
                    carillon_socketio_clients::say(&json!({"failed": error.to_string()}));
                }
            }
        }
    };
}

/// Why a CONNECT was refused, as the library tells it.
pub fn refused(values: &[Value]) -> Value {
    match values {
        [Value::Object(object)] => Value::Object(object.clone()),
        other => json!({"message": other}),
    }
}
