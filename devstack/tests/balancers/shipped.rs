//! How does a file of deploy/ become a balancer on this machine?
//!
//! Its marked blocks (`# --- gateways` to `# ---`) get the addresses of a stack; HAProxy's other choices are environment
//! variables with defaults, and nginx keeps its files below `-p`. Everything else runs as it is shipped.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use carillon_devstack::find;
use carillon_devstack::ports::{free, loopback};
use carillon_devstack::process::{Lifetime, Process, Signal, Spec};
use carillon_devstack::stack::{Service, Stack};
use carillon_devstack::wait;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};

use crate::faults::PATIENCE;

/// Which file of deploy/.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// haproxy/haproxy.cfg
    Haproxy,
    /// haproxy/haproxy-proxy-protocol.cfg
    ProxyProtocol,
    /// nginx/nginx.conf
    Nginx,
    /// envoy/envoy.yaml
    Envoy,
}

/// Those that send each path where it belongs.
pub(crate) const BY_PATH: [Kind; 3] = [Kind::Haproxy, Kind::Nginx, Kind::Envoy];

impl Kind {
    pub(crate) fn file(self) -> PathBuf {
        let name = match self {
            Self::Haproxy => "haproxy/haproxy.cfg",
            Self::ProxyProtocol => "haproxy/haproxy-proxy-protocol.cfg",
            Self::Nginx => "nginx/nginx.conf",
            Self::Envoy => "envoy/envoy.yaml",
        };
        project().join("deploy").join(name)
    }

    pub(crate) fn program(self) -> PathBuf {
        match self {
            Self::Haproxy | Self::ProxyProtocol => find::servers().unwrap().haproxy,
            Self::Nginx => find::nginx().unwrap(),
            Self::Envoy => {
                let program = project().join("target/envoy/envoy/_bin/envoy");
                assert!(program.exists(), "run deploy/envoy/fetch.sh (make install does)");
                program
            }
        }
    }
}

fn project() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// A server behind the balancer.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) name: String,
    pub(crate) addr: SocketAddr,
    pub(crate) ops: u16,
    /// Gets no newcomers, by hand.
    pub(crate) retired: bool,
}

impl Node {
    pub(crate) fn of(service: &Service) -> Self {
        let ops = service.ops_url().rsplit(':').next().unwrap().parse().unwrap();
        Self { name: service.name().into(), addr: service.addr(), ops, retired: false }
    }
}

/// The addresses that a file gets.
#[derive(Debug, Clone)]
pub(crate) struct Places {
    pub(crate) public: SocketAddr,
    pub(crate) rest: SocketAddr,
    pub(crate) ops: SocketAddr,
    pub(crate) gateways: Vec<Node>,
    pub(crate) publishers: Vec<Node>,
}

impl Places {
    pub(crate) fn of(stack: &Stack) -> Self {
        let port = || loopback(free().unwrap());
        Self {
            public: port(),
            rest: port(),
            ops: port(),
            gateways: stack.gateways().iter().map(Node::of).collect(),
            publishers: stack.publishers().iter().map(Node::of).collect(),
        }
    }

    /// The shipped text with these addresses.
    pub(crate) fn fill(&self, kind: Kind) -> String {
        let text = std::fs::read_to_string(kind.file()).unwrap();
        let lines = |nodes: &[Node]| nodes.iter().map(|node| kind.line(node)).collect::<Vec<_>>();
        let text = with_block(&text, "gateways", &lines(&self.gateways));
        let text = with_block(&text, "publishers", &lines(&self.publishers));
        let socket = |addr: SocketAddr| {
            format!("socket_address: {{ address: {}, port_value: {} }}", addr.ip(), addr.port())
        };
        let (listen, ops) = match kind {
            Kind::Haproxy | Kind::ProxyProtocol => {
                return with_block(&text, "publishers alive", &lines(&self.publishers));
            }
            Kind::Nginx => (format!("listen {} backlog=4096;", self.public), format!("listen {};", self.ops)),
            Kind::Envoy => (format!("    {}", socket(self.public)), socket(self.ops)),
        };
        with_block(&with_block(&text, "listen", &[listen]), "ops", &[ops])
    }

    fn environment(&self, admin: &Path) -> Vec<(String, String)> {
        [
            ("CARILLON_LB_BIND", self.public.to_string()),
            ("CARILLON_LB_REST_BIND", self.rest.to_string()),
            ("CARILLON_LB_OPS", self.ops.to_string()),
            ("CARILLON_LB_ADMIN", admin.display().to_string()),
            // Twice as many descriptors, which small machines allow.
            ("CARILLON_LB_MAXCONN", "8000".to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
    }
}

impl Kind {
    /// A server as the file's own words say it.
    fn line(self, node: &Node) -> String {
        let Node { name, addr, ops, retired } = node;
        match self {
            Self::Haproxy | Self::ProxyProtocol => format!("server {name} {addr} check port {ops}"),
            Self::Nginx => {
                let down = if *retired { " down" } else { "" };
                format!("server {addr} max_fails=10 fail_timeout=1s{down};")
            }
            Self::Envoy => {
                let (host, port) = (addr.ip(), addr.port());
                let address =
                    format!("address: {{ socket_address: {{ address: {host}, port_value: {port} }} }}");
                format!("          - endpoint: {{ {address}, health_check_config: {{ port_value: {ops} }} }}")
            }
        }
    }
}

/// The text with other lines between `# --- <mark>` and `# ---`.
pub(crate) fn with_block(text: &str, mark: &str, lines: &[String]) -> String {
    let opening = format!("# --- {mark}");
    let mut out = String::new();
    let (mut inside, mut found) = (false, 0);
    for line in text.lines() {
        let bare = line.trim();
        if inside && bare == "# ---" {
            inside = false;
        }
        if !inside {
            out.push_str(line);
            out.push('\n');
        }
        if bare.strip_prefix(&opening).is_some_and(|rest| rest.is_empty() || rest.starts_with(':')) {
            found += 1;
            inside = true;
            lines.iter().for_each(|line| out.push_str(&format!("    {line}\n")));
        }
    }
    assert_eq!((found, inside), (1, false), "the block {mark} is there once, and ends");
    out
}

/// A running balancer.
pub(crate) struct Shipped {
    process: Process,
    kind: Kind,
    places: Places,
    file: PathBuf,
    admin: PathBuf,
    _folder: TempDir,
}

impl Shipped {
    /// In front of all services of a stack.
    pub(crate) async fn before(kind: Kind, stack: &Stack) -> Self {
        let places = Places::of(stack);
        let text = places.fill(kind);
        Self::start(kind, places, &text).await
    }

    /// With a text that [`Places::fill`] made, and that a test may have changed.
    pub(crate) async fn start(kind: Kind, places: Places, text: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("carillon-lb-").tempdir().unwrap();
        let place = folder.path().to_path_buf();
        // nginx's workers are another user when its master is root, and keep their temporary files here.
        std::fs::set_permissions(&place, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        // Envoy goes by the ending.
        let (file, admin) = (place.join("balancer.yaml"), place.join("admin.sock"));
        std::fs::write(&file, text).unwrap();
        let process = Process::start(Spec {
            name: format!("{kind:?}"),
            program: kind.program(),
            args: arguments(kind, &place, &file),
            env: places.environment(&admin),
            log: place.join("log"),
            folder: place,
            account: None,
            lifetime: Lifetime::Tied(Signal::TERM),
            stop: Signal::TERM,
            grace: Duration::from_secs(5),
        })
        .unwrap();
        let public = places.public;
        let accepts = || async move { TcpStream::connect(public).await.is_ok() };
        process.ready(PATIENCE, accepts).await.unwrap();
        Self { process, kind, places, file, admin, _folder: folder }
    }

    /// Where clients connect.
    pub(crate) fn addr(&self) -> SocketAddr {
        self.places.public
    }

    /// `http://…`, for REST as well.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.addr())
    }

    pub(crate) fn ws_url(&self) -> String {
        format!("ws://{}/v1/ws", self.addr())
    }

    /// One more gateway, as the file's own head says it is added.
    pub(crate) async fn add(&mut self, node: Node) {
        let Node { name, addr, ops, .. } = node.clone();
        self.places.gateways.push(node);
        match self.kind {
            Kind::Haproxy | Kind::ProxyProtocol => {
                let checks = "inter 1s fastinter 250ms fall 2 rise 1 maxconn 20000";
                let answer =
                    self.admin(&format!("add server gateways/{name} {addr} check port {ops} {checks}")).await;
                assert!(answer.contains("New server registered"), "{answer}");
                let answer = self.admin(&format!("enable health gateways/{name}")).await;
                assert_eq!(answer.trim(), "");
                let answer = self.admin(&format!("enable server gateways/{name}")).await;
                assert_eq!(answer.trim(), "");
            }
            Kind::Nginx => self.reload().await,
            Kind::Envoy => unreachable!("its servers come and go with DNS"),
        }
    }

    /// No newcomers for this gateway any more, by hand; its sockets stay.
    pub(crate) async fn retire(&mut self, name: &str) {
        self.places.gateways.iter_mut().find(|node| node.name == name).unwrap().retired = true;
        match self.kind {
            Kind::Haproxy | Kind::ProxyProtocol => {
                let answer = self.admin(&format!("set server gateways/{name} state drain")).await;
                assert_eq!(answer.trim(), "");
            }
            Kind::Nginx => self.reload().await,
            Kind::Envoy => unreachable!("its servers come and go with DNS"),
        }
    }

    async fn admin(&self, command: &str) -> String {
        let mut socket = UnixStream::connect(&self.admin).await.unwrap();
        socket.write_all(format!("{command}\n").as_bytes()).await.unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).await.unwrap();
        answer
    }

    /// Lets nginx read its file again; returns when new workers serve and the old ones only keep what they have.
    async fn reload(&self) {
        std::fs::write(&self.file, self.places.fill(self.kind)).unwrap();
        let old = workers(self.process.pid());
        self.process.signal(Signal::HUP).unwrap();
        let is_done = || {
            let now = workers(self.process.pid());
            let leaves = |pid: &u32| title(*pid).is_none_or(|title| title.contains("shutting down"));
            now.iter().any(|pid| !old.contains(pid)) && old.iter().all(leaves)
        };
        wait::until_true("nginx's reload", PATIENCE, is_done).await.unwrap();
    }
}

pub(crate) fn arguments(kind: Kind, folder: &Path, file: &Path) -> Vec<std::ffi::OsString> {
    match kind {
        Kind::Haproxy | Kind::ProxyProtocol => vec!["-W".into(), "-db".into(), "-f".into(), file.into()],
        Kind::Nginx => {
            let prefix = format!("{}/", folder.display());
            let (flag, stay) = ("-g".into(), "daemon off;".into());
            vec!["-p".into(), prefix.into(), "-c".into(), file.into(), flag, stay]
        }
        // Several run on one machine here, each by itself.
        Kind::Envoy => vec!["--disable-hot-restart".into(), "-c".into(), file.into()],
    }
}

fn workers(master: u32) -> Vec<u32> {
    let children = std::fs::read_to_string(format!("/proc/{master}/task/{master}/children"));
    children.unwrap_or_default().split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}

/// What a process calls itself; none when it is gone.
fn title(pid: u32) -> Option<String> {
    let words = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    (!words.is_empty()).then(|| String::from_utf8_lossy(&words).into_owned())
}
