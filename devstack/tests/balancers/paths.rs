//! Does every configuration that is shipped send the paths of gateways to gateways, and everything else to publishers?
//!
//! Read, not run: which paths gateways have is what `/asyncapi.json` says; no file may name more or fewer. Publishers have
//! everything else, so a new path of the REST API needs no line anywhere. [`super::routes`] asks running balancers for every
//! path there is, `make proxies` all seven.

use std::collections::BTreeSet;
use std::path::Path;

use carillon_devstack::haproxy::Balancer;
use carillon_devstack::ports::loopback;
use carillon_protocol::asyncapi;
use serde_json::Value;

/// What `/v1/ws` is called, too.
pub(crate) const ALIAS: &str = "/ws";
/// Where clients of Socket.IO ask, who know the path by themselves, with its slash or without.
const SOCKET_IO: [&str; 2] = ["/socket.io/", "/socket.io"];
const EVENT_STREAM: &str = "/v1/sse";

type Paths = BTreeSet<String>;

/// What gateways answer.
pub(crate) fn of_gateways() -> Paths {
    let document: Value = serde_json::from_str(asyncapi::DOCUMENT).unwrap();
    let channels = document["channels"].as_object().unwrap();
    let addresses = channels.values().map(|channel| channel["address"].as_str().unwrap().to_owned());
    addresses.chain([ALIAS].into_iter().chain(SOCKET_IO).map(str::to_owned)).collect()
}

fn text(file: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    std::fs::read_to_string(root.join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// What stands between two marks, each time.
fn between<'t>(text: &'t str, from: &str, to: &str) -> Vec<&'t str> {
    text.split(from).skip(1).filter_map(|rest| rest.split_once(to)).map(|(inside, _)| inside).collect()
}

/// What stands between two marks that are there once.
fn once<'t>(file: &str, text: &'t str, from: &str, to: &str) -> &'t str {
    let found = between(text, from, to);
    assert_eq!(found.len(), 1, "{file}: {from}");
    found[0]
}

fn words(list: &str) -> Paths {
    list.split_whitespace().map(str::to_owned).collect()
}

/// A path of a regular expression, in which a dot stands in brackets.
fn plain(path: &str) -> String {
    path.replace("[.]", ".")
}

/// `v1/ws|ws` of a regular expression that begins with `^/` and ends with `$`.
fn alternatives(expression: &str) -> Paths {
    expression.split('|').map(|path| format!("/{}", plain(path))).collect()
}

/// Which paths each file sends to gateways, and the line after which everything else is the publishers'.
fn routings() -> Vec<(&'static str, String, Paths, &'static str)> {
    let read = |file: &'static str, rest: &'static str, paths: &dyn Fn(&str) -> Paths| {
        let text = text(file);
        let paths = paths(&text);
        (file, text, paths, rest)
    };
    let one = |file: &'static str, from: &'static str, to: &'static str| {
        move |text: &str| alternatives(once(file, text, from, to))
    };
    let (nginx, apache, lighttpd) =
        ("deploy/nginx/nginx.conf", "deploy/apache/carillon.conf", "deploy/lighttpd/lighttpd.conf");
    let mut routings = vec![
        read("deploy/haproxy/haproxy.cfg", "\n    default_backend publishers\n", &|text| {
            words(once("haproxy.cfg", text, "use_backend gateways if { path ", " }"))
        }),
        read(
            nginx,
            "\n        location / {\n            proxy_pass http://publishers;",
            &one(nginx, "location ~ ^/(", ")$ {"),
        ),
        read("deploy/envoy/envoy.yaml", "match: { prefix: \"/\" }", &|text| {
            let expression = once("envoy.yaml", text, "safe_regex: { regex: \"/v1/ws", "\" }");
            format!("/v1/ws{expression}").split('|').map(plain).collect()
        }),
        read(
            "deploy/caddy/Caddyfile",
            "\n\thandle {\n\t\treverse_proxy {\n\t\t\t# --- publishers",
            &|text| words(once("Caddyfile", text, "@sockets path ", "\n")),
        ),
        read("deploy/traefik/carillon.yml", "rule: \"PathPrefix(`/`)\"", &|text| {
            between(text, "Path(`", "`)").into_iter().map(str::to_owned).collect()
        }),
        read(
            apache,
            "\n    ProxyPass / balancer://publishers/",
            &one(apache, "ProxyPassMatch \"^/(", ")$\" balancer://gateways/$1"),
        ),
        read(
            lighttpd,
            "\n} else {\n    proxy.server = ( \"\" => (\n        # --- publishers",
            &one(lighttpd, "$HTTP[\"url\"] =~ \"^/(", ")$\" {"),
        ),
        read("helm/carillon/templates/_names.tpl", "publishers answer all others", &|text| {
            let list =
                once("_names.tpl", text, "{{- define \"carillon.gatewayPaths\" -}}\n", "\n{{- end -}}");
            serde_json::from_str(list).unwrap()
        }),
    ];
    let stack = Balancer {
        listen: loopback(1),
        admin: "admin.sock".into(),
        gateways: Vec::new(),
        publishers: Vec::new(),
    }
    .render();
    let paths = words(once("the stack's own", &stack, "use_backend gateways if { path ", " }"));
    routings.push(("the stack's own", stack, paths, "\n    default_backend publishers\n"));
    routings
}

#[test]
fn every_configuration_sends_the_paths_of_gateways_to_gateways_and_all_others_to_publishers() {
    let wanted = of_gateways();
    for (file, text, paths, rest) in routings() {
        // Apache and Traefik name an event stream apart where they answer it themselves.
        assert_eq!(paths, wanted, "{file}");
        assert!(text.contains(rest), "{file}: everything else goes to publishers: {rest}");
    }
}

#[test]
fn haproxy_says_of_each_path_of_gateways_that_no_gateway_answers() {
    let mut polls = of_gateways();
    polls.remove(EVENT_STREAM);
    for file in ["deploy/haproxy/haproxy.cfg", "deploy/haproxy/haproxy-proxy-protocol.cfg"] {
        let text = text(file);
        let line = once(file, &text, "\"detail\":\"no gateway answers now; come back\"", "\n");
        assert_eq!(words(once(file, line, "if { path ", " }")), polls, "{file}");
    }
}

/// What a gateway has is what the document says, and what the contract says to somebody who asks for anything else.
#[test]
fn the_document_names_every_path_of_a_gateway() {
    let listener = text("gateway/src/edge/listener.rs");
    let routes: Paths = between(&listener, ".route(\"", "\"").into_iter().map(str::to_owned).collect();
    assert_eq!(routes, of_gateways());
    let contract = text("docs/PROTOCOL.md");
    let row = once("PROTOCOL.md", &contract, "| 404 | `not_found` | a gateway has ", " only |\n");
    assert_eq!(row.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Paths>(), of_gateways());
}
