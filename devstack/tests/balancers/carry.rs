//! Do 2,000 sockets come through the death, the drain and the arrival of a gateway without loss?

use std::collections::BTreeMap;

use carillon_devstack::client::follow::{Follower, Status};
use carillon_devstack::client::load::{Load, LoadReport};
use carillon_devstack::client::publish::Publisher;
use carillon_devstack::client::socket::{Connect, Socket};
use carillon_devstack::stack::StackConfig;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::time::timeout;

use crate::faults::probe::readiness_becomes;
use crate::faults::{PATIENCE, Scene, TENANT, alone, plan, stop};
use crate::shipped::{Kind, Node, Shipped};

const SOCKETS: usize = 2_000;
const GATEWAYS: usize = 3;
/// Events a second: each is 2,000 frames, in programs without optimisation, beside their clients.
const RATE: f64 = 3.0;
/// Further sockets that say where newcomers are sent.
const NEWCOMERS: usize = 20;

#[tokio::test(flavor = "multi_thread")]
async fn haproxy_carries_two_thousand_sockets_through_death_drain_and_growth() {
    carries(Kind::Haproxy).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nginx_carries_two_thousand_sockets_through_death_drain_and_growth() {
    carries(Kind::Nginx).await;
}

async fn carries(kind: Kind) {
    let _alone = alone().await;
    allow_descriptors();
    let config = StackConfig { gateways: GATEWAYS as u16, publishers: 2, ..StackConfig::default() }
        .gateway_var("CARILLON_DRAIN_MS", 4_000);
    let scene = Scene::start(config).await;
    let balancer = Shipped::before(kind, &scene.stack).await;
    let mut act = Act { scene, balancer };
    act.follow().await;
    act.is_even();

    let publisher = Publisher::new(&act.balancer.url(), act.scene.stack.api_key()).unwrap();
    let load = Load::start(&[publisher], &act.scene.ledger, &plan(Some(RATE)));
    act.scene.acknowledged_more(5).await;
    act.one_dies().await;
    act.one_drains().await;
    act.one_comes().await;
    act.one_is_taken_out_by_hand().await;
    act.scene.acknowledged_more(5).await;
    let LoadReport { acknowledged, .. } = stop(load).await;
    act.scene.assert_whole().await;
    let verdict = act.scene.verdict();
    assert!(verdict.deliveries >= SOCKETS * acknowledged as usize, "{verdict}");
}

/// This process holds a socket for each client, and its children inherit what it may have.
fn allow_descriptors() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current.is_some_and(|current| current < 10 * SOCKETS as u64) {
        setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).unwrap();
    }
}

struct Act {
    scene: Scene,
    balancer: Shipped,
}

impl Act {
    async fn follow(&mut self) {
        for n in 0..SOCKETS {
            let follow = self.scene.route(TENANT, vec![self.balancer.ws_url()]);
            self.scene.followers.push(Follower::start(format!("follower-{n}"), TENANT, follow));
        }
        self.scene.all_connected().await;
    }

    /// Least connections: nobody is above the share from which a gateway would send clients away.
    fn is_even(&self) {
        let mut shares: BTreeMap<String, usize> = BTreeMap::new();
        for follower in &self.scene.followers {
            *shares.entry(follower.status().node.unwrap()).or_default() += 1;
        }
        let most = SOCKETS as f64 / GATEWAYS as f64 * 1.2;
        assert_eq!(shares.len(), GATEWAYS, "{shares:?}");
        assert!(shares.values().all(|share| (*share as f64) < most), "{shares:?}");
    }

    /// The followers at a gateway now, and how many connections each of the others has had.
    fn divide(&self, name: &str) -> (Vec<usize>, Vec<(usize, usize)>) {
        let status = |place: usize| self.scene.followers[place].status();
        let (there, elsewhere): (Vec<usize>, Vec<usize>) =
            (0..SOCKETS).partition(|place| status(*place).node.as_deref() == Some(name));
        (there, elsewhere.into_iter().map(|place| (place, status(place).connections)).collect())
    }

    /// Nobody of these was connected again.
    fn undisturbed(&self, before: &[(usize, usize)]) {
        for (place, connections) in before {
            let status = self.scene.followers[*place].status();
            assert_eq!(status.connections, *connections, "{status:?}");
        }
    }

    async fn arrive_elsewhere(&self, places: &[usize], than: &str) {
        let moved = |status: &Status| status.node.as_deref().is_some_and(|node| node != than);
        for place in places {
            let follower = &self.scene.followers[*place];
            follower.until(format!("leave {than} and arrive elsewhere"), PATIENCE, moved).await.unwrap();
        }
    }

    /// A further socket, and where it was sent.
    async fn newcomer(&self) -> (Socket, String) {
        let mut wanted = Connect::new(self.balancer.ws_url(), self.scene.token(TENANT, "newcomer"));
        wanted.patience = PATIENCE;
        let (socket, welcome) = Socket::open(&wanted).await.unwrap();
        (socket, welcome.node)
    }

    async fn no_newcomer_is_sent_to(&self, name: &str) {
        let mut sockets = Vec::new();
        for _ in 0..NEWCOMERS {
            let (socket, node) = self.newcomer().await;
            assert_ne!(node, name);
            sockets.push(socket);
        }
    }

    async fn one_dies(&self) {
        let (lost, others) = self.divide("gateway-1");
        self.scene.stack.gateway(0).kill().unwrap();
        self.no_newcomer_is_sent_to("gateway-1").await;
        self.arrive_elsewhere(&lost, "gateway-1").await;
        self.undisturbed(&others);
        self.scene.acknowledged_more(5).await;
        self.scene.stack.gateway(0).restart().await.unwrap();
    }

    async fn one_drains(&self) {
        let stopping = self.scene.stack.gateway(1);
        let (leaving, others) = self.divide("gateway-2");
        assert!(!leaving.is_empty());
        let newcomers = async {
            readiness_becomes(stopping, "unready", Some("draining")).await;
            self.no_newcomer_is_sent_to("gateway-2").await;
        };
        let (status, ()) = tokio::join!(stopping.terminate(), newcomers);
        assert_eq!(status.unwrap().code(), Some(0), "{}", stopping.process().log_tail());
        self.arrive_elsewhere(&leaving, "gateway-2").await;
        self.undisturbed(&others);
        self.scene.acknowledged_more(5).await;
        stopping.restart().await.unwrap();
    }

    async fn one_comes(&mut self) {
        let (_, before) = self.divide("gateway-4");
        assert_eq!(before.len(), SOCKETS);
        let added = self.scene.stack.add_gateway(&[]).await.unwrap();
        self.balancer.add(Node::of(self.scene.stack.gateway(added))).await;
        let arrival = async {
            let mut sockets = Vec::new();
            loop {
                let (socket, node) = self.newcomer().await;
                sockets.push(socket);
                if node == "gateway-4" {
                    return;
                }
            }
        };
        timeout(PATIENCE, arrival).await.expect("a newcomer is sent to the new gateway");
        self.undisturbed(&before);
    }

    async fn one_is_taken_out_by_hand(&mut self) {
        let (there, others) = self.divide("gateway-3");
        assert!(there.len() >= SOCKETS / GATEWAYS, "it was there all the time");
        self.balancer.retire("gateway-3").await;
        self.no_newcomer_is_sent_to("gateway-3").await;
        self.scene.acknowledged_more(5).await;
        self.undisturbed(&others);
        let (still, _) = self.divide("gateway-3");
        assert_eq!(still, there, "whoever is there stays");
    }
}
