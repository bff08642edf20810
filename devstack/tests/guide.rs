//! Does the guide do what it says, from its first line to its last?
//!
//! The page is the test: its shell commands run in a shell, its frames go over WebSockets, and what it says that comes must come.
//! Fields that the page leaves out may be anything; so may `"…"`. `$NAME` in a frame that comes names a value for later.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

#[path = "asked/application.rs"]
#[allow(dead_code, reason = "it only decides here")]
mod application;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use application::{Application, Reply};
use carillon_devstack::client::frame::Frame;
use carillon_devstack::client::socket::{Connect, Socket, TokenPlace};
use carillon_devstack::find;
use serde_json::{Value, json};
use tokio::process::Command;

const PATIENCE: Duration = Duration::from_secs(60);

/// A fenced part of the page.
struct Block {
    language: String,
    line: usize,
    text: String,
}

/// Whoever reads the page and does what it says.
struct Reader {
    data: tempfile::TempDir,
    url: String,
    /// What is defined so far: of the stack, by commands, and by frames.
    variables: BTreeMap<String, String>,
    /// Shell functions of the page.
    functions: String,
    people: HashMap<String, Person>,
    done: BTreeMap<&'static str, usize>,
}

struct Person {
    socket: Socket,
    /// Frames that came and were not looked for yet.
    came: VecDeque<Frame>,
}

#[tokio::test(flavor = "multi_thread")]
async fn the_guide_does_what_it_says_from_beginning_to_end() {
    let (reader, asked) = read("people.md").await;
    assert!(asked >= 2, "the application decides");
    let done = |what| reader.done.get(what).copied().unwrap_or_default();
    assert!(done("sent") >= 12 && done("came") >= 30, "{:?}", reader.done);
    assert!(done("commands") >= 30 && done("answers") >= 5, "{:?}", reader.done);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_guide_to_the_inbox_does_what_it_says_from_beginning_to_end() {
    let (reader, _) = read("inbox.md").await;
    let done = |what| reader.done.get(what).copied().unwrap_or_default();
    assert!(done("came") >= 6 && done("commands") >= 15 && done("answers") >= 9, "{:?}", reader.done);
}

/// A table of old endpoints is a promise only as far as what replaces them is tried.
#[tokio::test(flavor = "multi_thread")]
async fn the_guide_to_moving_here_does_what_it_says_and_tries_every_endpoint_of_its_table() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/guide/migrate.md");
    let text = std::fs::read_to_string(page).unwrap();
    let commands: Vec<String> = blocks(&text)
        .into_iter()
        .filter(|block| block.language == "sh")
        .flat_map(|block| block.text.lines().map(str::to_owned).collect::<Vec<_>>())
        .collect();
    let replacements: Vec<(&str, &str)> = text.lines().filter_map(replacement).collect();
    assert!(replacements.len() >= 18, "{replacements:?}");
    for (method, path) in replacements {
        let is_tried = commands.iter().any(|command| tries(command, method, path));
        assert!(is_tried, "no command is {method} {path}");
    }
    let (reader, _) = read("migrate.md").await;
    let done = |what| reader.done.get(what).copied().unwrap_or_default();
    assert!(done("came") >= 8 && done("commands") >= 22 && done("answers") >= 17, "{:?}", reader.done);
}

/// What replaces an old endpoint, in a row of two columns.
fn replacement(line: &str) -> Option<(&str, &str)> {
    let (_, now) = line.strip_prefix("| `")?.strip_suffix("` |")?.rsplit_once("| `")?;
    if line.matches('|').count() != 3 {
        return None;
    }
    now.split_once(" /v1/").map(|(method, _)| (method, &now[method.len() + 1..]))
}

/// Whether a command is this request; `{id}` stands for a variable.
fn tries(command: &str, method: &str, path: &str) -> bool {
    let Some((_, rest)) = command.split_once("$URL") else { return false };
    let asked = rest.split(['"', '?', ' ']).next().unwrap_or_default();
    let fits = asked.split('/').count() == path.split('/').count()
        && asked
            .split('/')
            .zip(path.split('/'))
            .all(|(asked, wanted)| asked == wanted || wanted.starts_with('{') && asked.starts_with('$'));
    let named = command.split_once("-X ").and_then(|(_, rest)| rest.split(' ').next());
    let default = if command.contains(" -d ") { "POST" } else { "GET" };
    fits && named.unwrap_or(default) == method
}

/// Does what a page says; with how often the application was asked.
async fn read(page: &str) -> (Reader, usize) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/guide");
    let text = std::fs::read_to_string(folder.join(page)).unwrap();
    let blocks = blocks(&text);
    let decisions: Vec<(Value, Value)> = blocks
        .iter()
        .filter(|block| block.language == "application")
        .flat_map(|block| block.text.lines().map(pair).collect::<Vec<_>>())
        .collect();
    let application = Application::start(move |question| decide(&decisions, question)).await;
    let mut reader = Reader::start(&application.url).await;
    for block in &blocks {
        match block.language.as_str() {
            "sh" => reader.commands(block).await,
            "frames" => reader.frames(block).await,
            "application" | "console" | "js" => {}
            other => panic!("line {}: nobody runs {other}", block.line),
        }
    }
    let asked = application.asked();
    (reader, asked)
}

impl Reader {
    async fn start(application: &str) -> Self {
        let data = tempfile::tempdir().unwrap();
        let info = carillon(data.path(), &["up", "--detach", "--json", "--no-demo"]).await;
        let info: Value = serde_json::from_str(&info).unwrap();
        let text = |name: &str| info[name].as_str().unwrap().to_owned();
        // The page calls `carillon`, which finds its stack in the folder that it runs in; here it is told.
        let program = find::own_binary("carillon").unwrap();
        let functions =
            format!("carillon() {{ '{}' --data '{}' \"$@\"; }}\n", program.display(), data.path().display());
        let variables =
            [("URL", text("lb")), ("API_KEY", text("api_key")), ("APPLICATION", application.to_owned())];
        let variables = variables.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let url = text("lb").replacen("http", "ws", 1);
        Self { data, url, variables, functions, people: HashMap::new(), done: BTreeMap::new() }
    }

    /// Runs the commands of a block; what a comment with JSON says must be the answer of the command before it.
    async fn commands(&mut self, block: &Block) {
        if block.text.contains("() {") {
            self.functions.push_str(&block.text);
            return;
        }
        let mut commands = String::new();
        for line in block.text.lines().chain(["# end"]) {
            if !line.starts_with('#') {
                commands.push_str(line);
                commands.push('\n');
                *self.done.entry("commands").or_default() += 1;
                continue;
            }
            if commands.is_empty() {
                continue;
            }
            let commands = std::mem::take(&mut commands);
            let Some(expected) = line.strip_prefix("# {") else {
                self.shell(&commands, block.line).await;
                continue;
            };
            let expected: Value = serde_json::from_str(&format!("{{{expected}")).unwrap();
            // What is only read may come a moment later.
            let reads = !commands.contains(" -d ") && !commands.contains(" -X ");
            let deadline = Instant::now() + PATIENCE;
            loop {
                let output = self.shell(&commands, block.line).await;
                let answer = output.trim().lines().last().unwrap_or_default();
                let answer: Value = serde_json::from_str(answer).unwrap_or_default();
                if self.fits(&expected, &answer) {
                    break;
                }
                let goes_on = reads && Instant::now() < deadline;
                assert!(goes_on, "line {}: not {expected} but {answer}", block.line);
            }
            *self.done.entry("answers").or_default() += 1;
        }
    }

    /// Runs commands with all variables, and keeps those that they set.
    async fn shell(&mut self, commands: &str, line: usize) -> String {
        let names: Vec<&str> = commands.split_whitespace().filter_map(assigned).collect();
        let file = self.data.path().join("variables");
        let keeps =
            names.iter().map(|name| format!("printf '%s=%s\\n' {name} \"${name}\"; ")).collect::<String>();
        let script = format!(
            "set -euo pipefail\n{}{commands}\n{{ {keeps}:; }} >'{}'\n",
            self.functions,
            file.display()
        );
        let mut bash = Command::new("bash");
        bash.args(["-c", &script]).envs(&self.variables).stdin(Stdio::null()).kill_on_drop(true);
        let output = tokio::time::timeout(PATIENCE, bash.output()).await.unwrap().unwrap();
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "line {line}: {told}{}", String::from_utf8_lossy(&output.stderr));
        for set in std::fs::read_to_string(file).unwrap().lines() {
            let (name, value) = set.split_once('=').unwrap();
            assert!(!value.is_empty(), "line {line}: {name} is empty: {told}");
            self.variables.insert(name.to_owned(), value.to_owned());
        }
        told
    }

    async fn frames(&mut self, block: &Block) {
        for text in block.text.lines() {
            let place = format!("after line {}: {text}", block.line);
            let (who, what) = text.split_once(' ').unwrap();
            match what.split_once(' ') {
                Some(("GET", path)) => self.connect(who, path, &place).await,
                Some((">", frame)) => {
                    let frame = self.expected(frame, &place);
                    self.people.get_mut(who).unwrap().socket.send_json(&frame).await.unwrap();
                    *self.done.entry("sent").or_default() += 1;
                }
                Some(("<", frame)) => {
                    let expected = self.expected(frame, &place);
                    let came = self.comes(who, &expected, &place).await;
                    assert!(self.fits(&expected, &came), "{place}: it is {came}");
                    *self.done.entry("came").or_default() += 1;
                }
                Some(("ends", code)) => {
                    let ended = self.people.remove(who).unwrap().socket.ended(PATIENCE).await;
                    assert_eq!(ended.close_code(), code.parse().ok(), "{place}: {ended:?}");
                }
                None if what == "closes" => self.people.remove(who).unwrap().socket.close().await,
                _ => panic!("{place}: nobody understands this"),
            }
        }
    }

    async fn connect(&mut self, who: &str, path: &str, place: &str) {
        let mut path = path.to_owned();
        for (name, value) in self.variables.iter().rev() {
            path = path.replace(&format!("${name}"), value);
        }
        assert!(!path.contains('$'), "{place}: not everything in it is known");
        let url = format!("{}{path}", self.url);
        let mut wanted = Connect::new(url, self.variables[&who.to_uppercase()].clone());
        wanted.patience = PATIENCE;
        if path.contains("ticket=") {
            wanted = wanted.place(TokenPlace::Nowhere);
        }
        let socket = Socket::connect(&wanted).await.unwrap_or_else(|error| panic!("{place}: {error}"));
        self.people.insert(who.to_owned(), Person { socket, came: VecDeque::new() });
    }

    /// The next frame of this type, of answers that with this `id`; others wait.
    async fn comes(&mut self, who: &str, expected: &Value, place: &str) -> Value {
        let kind = expected["type"].as_str().unwrap_or_else(|| panic!("{place}: no type"));
        let is_it =
            |frame: &Frame| frame.is(kind) && (expected["id"].is_null() || frame.0["id"] == expected["id"]);
        let person = self.people.get_mut(who).unwrap();
        loop {
            if let Some(at) = person.came.iter().position(is_it) {
                return person.came.remove(at).unwrap().0;
            }
            match person.socket.next_frame(PATIENCE).await {
                Ok(frame) => person.came.push_back(frame),
                Err(error) => panic!("{place}: {error}; there are {:?}", person.came),
            }
        }
    }

    /// A frame of the page, with what is known, and a mark where a value that comes gets its name.
    fn expected(&self, frame: &str, place: &str) -> Value {
        let mut parts = frame.split(":$");
        let mut text = parts.next().unwrap().to_owned();
        for part in parts {
            let end = part.find(|c: char| !c.is_ascii_uppercase()).unwrap();
            let (name, rest) = part.split_at(end);
            let value = match self.variables.get(name) {
                Some(known) => known.parse::<u64>().map_or_else(|_| json!(known), |number| json!(number)),
                None => json!({"named": name}),
            };
            text.push_str(&format!(":{value}{rest}"));
        }
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{place}: {error}"))
    }

    /// Whether the answer has everything that is expected; gives values their names.
    fn fits(&mut self, expected: &Value, found: &Value) -> bool {
        match (expected, found) {
            (Value::Object(wanted), found) if wanted.len() == 1 && wanted.contains_key("named") => {
                let text = found.as_str().map_or_else(|| found.to_string(), str::to_owned);
                let name = wanted["named"].as_str().unwrap_or_default().to_owned();
                self.variables.insert(name, text);
                !found.is_null()
            }
            (Value::Object(wanted), Value::Object(found)) => wanted
                .iter()
                .all(|(name, value)| found.get(name).is_some_and(|found| self.fits(value, found))),
            (Value::Array(wanted), Value::Array(found)) => {
                wanted.len() == found.len()
                    && wanted.iter().zip(found).all(|(wanted, found)| self.fits(wanted, found))
            }
            (Value::String(any), found) if any == "…" => !found.is_null(),
            (wanted, found) => wanted == found,
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let program = find::own_binary("carillon").unwrap();
        let mut down = std::process::Command::new(program);
        down.arg("--data").arg(self.data.path()).arg("down").stderr(Stdio::null()).stdout(Stdio::null());
        assert!(down.status().unwrap().success() || std::thread::panicking(), "the stack did not stop");
    }
}

/// What the page's application answers: the first question that fits.
fn decide(decisions: &[(Value, Value)], question: &Value) -> Reply {
    let is_asked = |known: &Value| {
        known.as_object().unwrap().iter().all(|(name, value)| question.get(name) == Some(value))
    };
    let answer = decisions.iter().find(|(known, _)| is_asked(known)).map(|(_, answer)| answer.clone());
    Reply::Json(answer.unwrap_or_else(|| json!({"allow": false})))
}

/// A question and its answer, on one line.
fn pair(line: &str) -> (Value, Value) {
    let mut values = serde_json::Deserializer::from_str(line).into_iter::<Value>();
    (values.next().unwrap().unwrap(), values.next().unwrap().unwrap())
}

/// The variable that a word of a command sets.
fn assigned(word: &str) -> Option<&str> {
    let (name, _) = word.split_once('=')?;
    let is_name = name.len() > 1 && name.bytes().all(|b| b.is_ascii_uppercase() || b == b'_');
    is_name.then_some(name)
}

async fn carillon(data: &Path, words: &[&str]) -> String {
    let mut command = Command::new(find::own_binary("carillon").unwrap());
    command.arg("--data").arg(data).args(words).stdin(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(2 * PATIENCE, command.output()).await.unwrap().unwrap();
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn blocks(text: &str) -> Vec<Block> {
    let (mut blocks, mut open): (Vec<Block>, Option<Block>) = (Vec::new(), None);
    for (line, text) in text.lines().enumerate() {
        match (text.strip_prefix("```"), open.take()) {
            (Some(language), None) => {
                open = Some(Block { language: language.to_owned(), line: line + 1, text: String::new() });
            }
            (Some(_), Some(block)) => blocks.push(block),
            (None, Some(mut block)) => {
                block.text.push_str(text);
                block.text.push('\n');
                open = Some(block);
            }
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "a block has no end");
    blocks
}
