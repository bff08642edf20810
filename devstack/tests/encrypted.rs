//! Does a gateway work when Postgres and Redis are reached over TLS alone, with an authority of the operator's own?

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

#[path = "support/faults/mod.rs"]
mod faults;

use carillon_devstack::authority::Authority;
use carillon_devstack::find;
use carillon_devstack::ports;
use carillon_devstack::stack::StackConfig;
use faults::probe::{readiness_becomes, sql};
use faults::{PATIENCE, Scene};
use std::process::Stdio;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_works_over_tls_alone_and_says_whom_it_does_not_trust() {
    let mut scene = Scene::start(StackConfig { gateways: 1, ..StackConfig::default() }).await;
    let folder = scene.stack.folder().to_path_buf();
    let authority = Authority::new(&folder, "authority").unwrap();
    let server =
        authority.sign(scene.stack.postgres().socket_folder(), "DNS:localhost,IP:127.0.0.1").unwrap();
    let (certificate, key) = (server.certificate.display(), server.key.display());
    for order in [
        format!("ALTER SYSTEM SET ssl_cert_file = '{certificate}'"),
        format!("ALTER SYSTEM SET ssl_key_file = '{key}'"),
        "ALTER SYSTEM SET ssl = on".to_owned(),
        "SELECT pg_reload_conf()".to_owned(),
    ] {
        sql(&scene.stack, &order).await;
    }
    let redis_port = ports::free().unwrap();
    let order = format!(
        "CONFIG SET tls-auth-clients no tls-cert-file {certificate} tls-key-file {key} tls-port {redis_port}"
    );
    assert_eq!(scene.stack.redis().command(&order).await.unwrap(), "OK");

    let trusted = authority.certificate().display().to_string();
    let variables = [
        ("DATABASE_URL", format!("{}?sslmode=verify-full&sslrootcert={trusted}", scene.stack.database_url())),
        ("REDIS_URL", format!("rediss://127.0.0.1:{redis_port}")),
        ("SSL_CERT_FILE", trusted),
    ]
    .map(|(name, value)| (name.to_owned(), value));
    let index = scene.stack.add_gateway(&variables).await.unwrap();
    readiness_becomes(scene.stack.gateway(index), "ready", None).await;
    scene.follow_at(index, 3).await;
    scene.publish(200).await;
    scene.assert_whole().await;
    let encrypted = "SELECT count(*) > 0 FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) \
                     WHERE ssl AND application_name = 'carillon_gateway'";
    assert_eq!(sql(&scene.stack, encrypted).await, "t");

    // Without the authority Redis is refused, and the log says why.
    let listen = |port| format!("127.0.0.1:{port}");
    let mut stranger = Command::new(find::own_binary("carillon-gateway").unwrap())
        .arg("serve")
        .env_clear()
        .envs(variables.into_iter().take(2))
        .env("CARILLON_JWT_SECRET", scene.stack.jwt_secret())
        .env("CARILLON_LISTEN", listen(ports::free().unwrap()))
        .env("CARILLON_OPS_LISTEN", listen(ports::free().unwrap()))
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut log = BufReader::new(stranger.stderr.take().unwrap()).lines();
    let refused = async {
        while let Some(line) = log.next_line().await.unwrap() {
            if line.contains("redis is down") {
                return line;
            }
        }
        panic!("the gateway ended")
    };
    let refused = tokio::time::timeout(PATIENCE, refused).await.unwrap();
    assert!(refused.contains("UnknownIssuer"), "{refused}");
}
