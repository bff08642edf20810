//! Does the guide do what it says, with the receivers that it shows?

use super::{PATIENCE, read, stack, until};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

const SECRET: &str = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY0";

fn docs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs")
}

/// The fenced parts of the page in this language.
fn blocks(page: &str, language: &str) -> Vec<String> {
    let begin = format!("```{language}\n");
    page.split(&begin).skip(1).map(|rest| rest.split("```").next().unwrap().to_owned()).collect()
}

async fn free_port() -> u16 {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap().port()
}

/// Starts a receiver, and gives its lines as they come.
async fn receiver(program: &str, file: &str, port: u16) -> (Child, Arc<Mutex<Vec<String>>>) {
    let mut child = Command::new(program)
        .arg(docs().join("examples").join(file))
        .args([SECRET, &port.to_string()])
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let (lines, said) = (Arc::new(Mutex::new(Vec::new())), BufReader::new(child.stdout.take().unwrap()));
    let kept = lines.clone();
    tokio::spawn(async move {
        let mut said = said.lines();
        while let Ok(Some(line)) = said.next_line().await {
            kept.lock().unwrap().push(line);
        }
    });
    until("it listens", async || tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok()).await;
    (child, lines)
}

#[test]
fn the_guide_does_what_it_says_with_both_receivers() {
    super::wire::block_on(async {
        let stack = stack().await;
        let page = std::fs::read_to_string(docs().join("guide/webhooks.md")).unwrap();
        for (language, program, file) in [("js", "node", "webhook.mjs"), ("python", "python3", "webhook.py")]
        {
            let shown = std::fs::read_to_string(docs().join("examples").join(file)).unwrap();
            assert_eq!(blocks(&page, language), [shown], "{file} is what the page shows");
            let (port, tenant) = (free_port().await, format!("guide-{language}"));
            let (mut child, lines) = receiver(program, file, port).await;
            let scripts = blocks(&page, "sh");
            assert_eq!(scripts.len(), 5);
            let [define, set, replay, look, rotate] = &scripts[..] else { unreachable!() };
            let run = async |part: &str| {
                let mut shell = Command::new("bash");
                shell.args(["-euo", "pipefail", "-c", &format!("{define}\n{part}")]);
                let hook = format!("http://127.0.0.1:{port}/");
                for (name, value) in [
                    ("URL", stack.publisher(0).url().as_str()),
                    ("API_KEY", stack.api_key()),
                    ("TENANT", &tenant),
                    ("HOOK", &hook),
                    ("SECRET", SECRET),
                ] {
                    shell.env(name, value);
                }
                let output = tokio::time::timeout(PATIENCE, shell.output()).await.unwrap().unwrap();
                assert!(output.status.success(), "{part}\n{output:?}");
                String::from_utf8(output.stdout).unwrap()
            };
            let said = async |expected: &[&str]| {
                until("the receiver has it", async || lines.lock().unwrap().len() >= expected.len()).await;
                let spaceless =
                    lines.lock().unwrap().iter().map(|line| line.replace(": ", ":")).collect::<Vec<_>>();
                assert_eq!(
                    spaceless.iter().map(|line| line.split_once(' ').unwrap().1).collect::<Vec<_>>(),
                    expected
                );
            };
            let test = r#"carillon.webhook.test {"webhook":"orders"}"#;
            let (paid, sent) = (r#"order.paid {"order":7}"#, r#"order.sent {"order":7}"#);
            assert!(run(set).await.contains(r#""delivered":true"#));
            said(&[test, paid]).await;
            run(replay).await;
            said(&[test, paid, paid]).await;
            assert!(run(look).await.contains(r#"{"deliveries":[],"next":null}"#));
            // The receiver has the secret before.
            run(rotate).await;
            said(&[test, paid, paid, sent]).await;
            until("all is kept", async || read(&stack, &tenant, "orders").await["behind"] == 0).await;
            child.kill().await.unwrap();
        }
    });
}
