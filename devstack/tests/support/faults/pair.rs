//! How does a test move a whole system from one Postgres to another?

use std::os::unix::fs::PermissionsExt;

use carillon_devstack::client::frame::Cursor;
use carillon_devstack::client::socket::{Connect, Socket};
use carillon_devstack::find;
use carillon_devstack::ports::loopback;
use carillon_devstack::postgres::{Postgres, PostgresConfig};
use carillon_devstack::stack::{Service, StackConfig};
use carillon_devstack::wait;
use tempfile::TempDir;

use super::{PATIENCE, Scene, TENANT};

/// A stack with a standby, whose services reach Postgres at an address that can move.
pub struct Pair {
    pub scene: Scene,
    pub standby: Postgres,
    _folder: TempDir,
}

impl Pair {
    pub async fn start() -> Self {
        let config = StackConfig { gateways: 1, chaos: true, ..StackConfig::default() };
        let scene = Scene::start(config).await;
        let folder = open_folder();
        let bin = find::servers().unwrap().postgres_bin;
        let config = PostgresConfig::throw_away(bin, folder.path());
        let standby = scene.stack.postgres().standby(config).await.unwrap();
        Self { scene, standby, _folder: folder }
    }

    /// What a query prints on the standby.
    pub async fn ask(&self, sql: &str) -> String {
        let psql = find::servers().unwrap().postgres_bin.join("psql");
        let mut command = tokio::process::Command::new(psql);
        command.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", sql]);
        let output = command.arg(Postgres::url(self.standby.port(), None)).output().await.unwrap();
        assert!(output.status.success(), "{sql}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    pub async fn standby_has(&self, head: u64) {
        let head = head.to_string();
        let reached = wait::until("the standby to follow", PATIENCE, || async {
            (self.ask("SELECT coalesce(max(head), 0) FROM carillon.tenants").await == head).then_some(())
        });
        reached.await.unwrap();
    }

    /// The service's address of Postgres leads to the standby; sessions that are there stay.
    pub async fn address_moves(&self, service: &Service) {
        let link = &service.links().unwrap().postgres;
        link.lead_to(loopback(self.standby.port())).await.unwrap();
    }

    /// It leads to the primary again; sessions that are there stay.
    pub async fn address_returns(&self, service: &Service) {
        let link = &service.links().unwrap().postgres;
        link.lead_to(loopback(self.scene.stack.postgres().port())).await.unwrap();
    }

    /// New sessions of the gateway go to the standby, and so do those it has.
    pub async fn lead_gateway_to_standby(&self) {
        self.lead_to_standby(self.scene.stack.gateway(0)).await;
    }

    async fn lead_to_standby(&self, service: &Service) {
        self.address_moves(service).await;
        service.links().unwrap().postgres.cut_once().await.unwrap();
    }

    /// The primary dies, the standby takes its place, and the address moves.
    pub async fn fail_over(&self) {
        self.scene.stack.postgres().process().kill().unwrap();
        self.promote().await;
        self.lead_gateway_to_standby().await;
        self.lead_to_standby(self.scene.stack.publisher(0)).await;
    }

    pub async fn promote(&self) {
        assert_eq!(self.ask("SELECT pg_promote()").await, "t");
    }

    pub async fn epochs(&self) -> String {
        self.ask("SELECT string_agg(began_after::text, ' ' ORDER BY number) FROM carillon.epochs").await
    }

    pub async fn begins(&self, cursor: &Cursor) -> (String, u64) {
        let url = self.scene.stack.gateway(0).ws_url();
        let mut wanted = Connect::new(url, self.scene.token(TENANT, "late")).since(cursor.clone());
        wanted.patience = PATIENCE;
        let (socket, welcome) = Socket::open(&wanted).await.unwrap();
        socket.close().await;
        (welcome.resumed, welcome.seq)
    }
}

/// A temporary folder that whoever runs Postgres can enter.
pub fn open_folder() -> TempDir {
    let folder = tempfile::Builder::new().prefix("carillon-").tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    folder
}
