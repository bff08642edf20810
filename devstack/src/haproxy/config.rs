//! What does HAProxy's configuration say? (A pure function of the stack's addresses.)

use std::fmt::Write;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Paths that a gateway answers; everything else is a publisher's.
const GATEWAY_PATHS: &str = "/v1/ws /ws /v1/sse /v1/poll /v1/commands /socket.io /socket.io/";
/// The configuration that is shipped: what it says when nobody behind it answers is said here, too.
const SHIPPED: &str = include_str!("../../../deploy/haproxy/haproxy.cfg");

/// One server behind the balancer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backend {
    /// `gateway-1`.
    pub name: String,
    /// Where it serves.
    pub addr: SocketAddr,
    /// Port of `/readyz`.
    pub ops_port: u16,
}

/// Everything the configuration depends on.
#[derive(Debug, Clone)]
pub struct Balancer {
    /// Where clients connect.
    pub listen: SocketAddr,
    /// The Unix socket for commands.
    pub admin: PathBuf,
    /// Gateways: WebSockets, event streams, polls.
    pub gateways: Vec<Backend>,
    /// Publishers: REST.
    pub publishers: Vec<Backend>,
}

impl Balancer {
    /// The text of haproxy.cfg.
    pub fn render(&self) -> String {
        let Self { listen, admin, gateways, publishers } = self;
        let (admin, answers) = (admin.display(), answers());
        let mut text = format!(
            "# Written by carillon; a restart writes it anew.
global
    maxconn 20000
    no strict-limits
    tune.bufsize 33792
    hard-stop-after 120s
    stats socket \"{admin}\" mode 600 level admin

defaults
    mode http
    balance leastconn
    option forwardfor
    option redispatch 1
    option abortonclose
    retries 3
    timeout connect 5s
    timeout http-request 5s
    timeout http-keep-alive 60s
    timeout client 60s
    timeout server 60s
    timeout tunnel 1h
    timeout client-fin 30s
    default-server check inter 1s fastinter 250ms fall 2 rise 1 maxconn 20000

frontend public
    bind {listen}
{answers}    use_backend gateways if {{ path {GATEWAY_PATHS} }}
    use_backend publishers_alive if {{ nbsrv(publishers) lt 1 }}
    default_backend publishers
"
        );
        // Degraded (Redis away) answers 200: such a node still delivers and must not lose its clients.
        backend(&mut text, "gateways", "/readyz", gateways);
        backend(&mut text, "publishers", "/readyz", publishers);
        // Publishers that take no events say why.
        backend(&mut text, "publishers_alive", "/livez", publishers);
        text
    }
}

/// The lines of the shipped file between `# --- answers` and `# ---`.
fn answers() -> &'static str {
    let begin = SHIPPED.find("    # --- answers").unwrap_or(SHIPPED.len());
    let rest = &SHIPPED[begin..];
    const END: &str = "    # ---\n";
    &rest[..rest.find(END).map_or(rest.len(), |end| end + END.len())]
}

fn backend(text: &mut String, name: &str, check: &str, servers: &[Backend]) {
    let _ = write!(text, "\nbackend {name}\n    option httpchk GET {check}\n");
    for Backend { name, addr, ops_port } in servers {
        let _ = writeln!(text, "    server {name} {addr} check port {ops_port}");
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::ports::loopback;

    pub(in crate::haproxy) fn balancer(admin: PathBuf) -> Balancer {
        let server =
            |name: &str, port| Backend { name: name.into(), addr: loopback(port), ops_port: port + 1 };
        Balancer {
            listen: loopback(18_000),
            admin,
            gateways: vec![server("gateway-1", 18_010), server("gateway-2", 18_020)],
            publishers: vec![server("publisher", 18_030)],
        }
    }

    #[test]
    fn every_gateway_is_balanced_by_connections_and_checked_on_its_ops_port() {
        let text = balancer("/run/admin.sock".into()).render();
        assert!(text.contains("balance leastconn"));
        assert!(text.contains("server gateway-1 127.0.0.1:18010 check port 18011"));
        assert!(text.contains("server gateway-2 127.0.0.1:18020 check port 18021"));
        assert!(text.contains("server publisher 127.0.0.1:18030 check port 18031"));
        assert!(text.contains("option httpchk GET /readyz"));
    }

    #[test]
    fn websockets_go_to_gateways_and_rest_to_publishers() {
        let text = balancer("/run/admin.sock".into()).render();
        let (gateway, publisher) =
            (text.find("use_backend gateways"), text.find("default_backend publishers"));
        assert!(gateway.is_some() && gateway < publisher);
        assert!(text.contains("timeout tunnel 1h") && text.contains("timeout http-request 5s"));
    }

    #[test]
    fn when_nobody_answers_it_says_what_the_shipped_file_says() {
        let answers = answers();
        assert!(answers.starts_with("    # --- answers:") && answers.ends_with("    # ---\n"), "{answers}");
        assert_eq!(answers.matches("    http-error status 50").count(), 3, "{answers}");
        assert!(balancer("/run/admin.sock".into()).render().contains(answers));
    }
}
