//! How many of everything does an installation need?

use serde::Serialize;

use super::measured::Measured;

/// How much of a processor is planned for: the rest is for what comes at once, and for when a machine fails.
pub(super) const BUSY: f64 = 0.6;
/// Processors of a gateway's machine.
pub(super) const GATEWAY_PROCESSORS: f64 = 16.0;
/// Memory of a gateway's machine that connections may have, in bytes.
pub(super) const GATEWAY_MEMORY: f64 = 32.0 * 0.75 * 1024.0 * 1024.0 * 1024.0;
/// Most connections of a gateway, whatever its size: what one node's end costs the others.
pub(super) const GATEWAY_CONNECTIONS: f64 = 250_000.0;
/// Processors of a machine of publishers.
pub(super) const PUBLISHER_PROCESSORS: f64 = 16.0;
/// Processors of a machine of Postgres.
pub(super) const POSTGRES_PROCESSORS: f64 = 64.0;

/// Which gateways get the connections of a tenant.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Placement {
    /// Any: the balancer looks at nothing.
    Any,
    /// One of so many that the balancer chooses by the tenant's name.
    OneOf(f64),
}

/// What is asked for.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Installation {
    pub(super) connections: f64,
    pub(super) tenants: f64,
    pub(super) events_per_second: f64,
    /// Connections that get an event.
    pub(super) readers: f64,
    pub(super) placement: Placement,
}

/// What it needs.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Needs {
    pub(super) installation: Installation,
    pub(super) gateways: f64,
    /// Whether processors, and not connections or memory, decide how many.
    pub(super) gateways_by_cpu: bool,
    /// Gateways that an event goes to.
    pub(super) gateways_per_event: f64,
    /// Nodes of a Redis Cluster.
    pub(super) redis_nodes: f64,
    pub(super) publishers: f64,
    /// Instances of Postgres, with tenants spread over them.
    pub(super) databases: f64,
    /// Processors of Postgres that look at the heads for all gateways.
    pub(super) watch_processors: f64,
    /// Until all connections of a gateway that died are on others, by their processors, in seconds.
    pub(super) storm_seconds: f64,
    /// A deploy that replaces a twentieth of the gateways at a time, in minutes.
    pub(super) deploy_minutes: f64,
}

impl Installation {
    /// What the page shows: a tenth of an event a second for each connection, a hundred connections a tenant, ten readers an event.
    pub(crate) const SHOWN: [Self; 8] = [
        Self::of(10_000.0, Placement::Any),
        Self::of(100_000.0, Placement::Any),
        Self::of(1_000_000.0, Placement::Any),
        Self::of(10_000_000.0, Placement::Any),
        Self::of(10_000.0, Placement::OneOf(2.0)),
        Self::of(100_000.0, Placement::OneOf(2.0)),
        Self::of(1_000_000.0, Placement::OneOf(2.0)),
        Self::of(10_000_000.0, Placement::OneOf(2.0)),
    ];

    const fn of(connections: f64, placement: Placement) -> Self {
        let (tenants, events_per_second) = (connections / 100.0, connections / 10.0);
        Self { connections, tenants, events_per_second, readers: 10.0, placement }
    }

    /// By the constants.
    pub(crate) fn needs(&self, measured: &Measured) -> Needs {
        let by_size = self.gateways_by_size(measured);
        // What processors have to do grows with the gateways that a tenant is on, and those with the gateways: until it stands.
        let mut gateways = by_size;
        for _ in 0..1_000 {
            let by_cpu = (self.gateway_cpu(measured, gateways) / (BUSY * GATEWAY_PROCESSORS)).ceil();
            let next = by_cpu.max(by_size);
            if next <= gateways {
                break;
            }
            gateways = next;
        }
        let per_event = self.gateways_of_a_tenant(gateways);
        let redis =
            self.events_per_second * (measured.announcement_us + per_event * measured.handed_us) / 1e6;
        let watched = self.tenants * per_event * measured.followed_postgres_us / 1e6;
        let append = self.events_per_second * measured.append_us / 1e6;
        let moved = self.connections / gateways;
        let spare = (1.0 - BUSY) * GATEWAY_PROCESSORS * (gateways - 1.0).max(1.0);
        let storm_seconds = moved * measured.connect_us / 1e6 / spare;
        // Nobody is told to go faster than CARILLON_DRAIN_RATE, 500 a second of each gateway.
        let drained = (moved / 500.0).max(60.0);
        Needs {
            installation: *self,
            gateways,
            gateways_by_cpu: gateways > by_size,
            gateways_per_event: per_event,
            redis_nodes: (redis / BUSY).ceil().max(1.0),
            publishers: (self.events_per_second * measured.publish_us / 1e6 / (BUSY * PUBLISHER_PROCESSORS))
                .ceil()
                .max(1.0),
            databases: ((append + watched) / (BUSY * POSTGRES_PROCESSORS)).ceil().max(1.0),
            watch_processors: watched,
            storm_seconds,
            deploy_minutes: 20.0_f64.min(gateways) * drained / 60.0,
        }
    }

    fn gateways_by_size(&self, measured: &Measured) -> f64 {
        let in_memory = GATEWAY_MEMORY / (measured.connection_bytes + measured.socket_bytes);
        (self.connections / in_memory.min(GATEWAY_CONNECTIONS)).ceil().max(2.0)
    }

    /// How many of `gateways` have at least one of a tenant's connections, on the mean.
    fn gateways_of_a_tenant(&self, gateways: f64) -> f64 {
        let each = self.connections / self.tenants;
        let among = match self.placement {
            Placement::Any => gateways,
            Placement::OneOf(few) => few.min(gateways),
        };
        among * (1.0 - (1.0 - 1.0 / among).powf(each))
    }

    /// Processors that all gateways keep busy.
    fn gateway_cpu(&self, measured: &Measured, gateways: f64) -> f64 {
        let per_event = self.gateways_of_a_tenant(gateways);
        let events = self.events_per_second
            * (per_event * measured.reception_us + self.readers * measured.delivery_us);
        (events + self.tenants * per_event * measured.followed_gateway_us) / 1e6
    }
}

#[cfg(test)]
mod tests {
    use super::super::measured::tests::bench;
    use super::*;

    fn measured() -> Measured {
        Measured::read(&bench()).unwrap()
    }

    #[test]
    fn a_small_installation_is_worked_out_by_hand() {
        let needs = Installation::of(10_000.0, Placement::Any).needs(&measured());
        // Two gateways; both have some of a tenant's 100 connections. 1,000 events/s × (2 × 200 + 10 × 6) µs and 100 tenants × 2 × 10 µs.
        assert_eq!((needs.gateways, needs.gateways_by_cpu), (2.0, false));
        assert!((needs.gateways_per_event - 2.0).abs() < 1e-9);
        let cpu = Installation::of(10_000.0, Placement::Any).gateway_cpu(&measured(), 2.0);
        assert!((cpu - 0.462).abs() < 1e-6, "{cpu}");
        assert_eq!((needs.redis_nodes, needs.publishers, needs.databases), (1.0, 1.0, 1.0));
        // 5,000 connects of 100 µs on 40 % of 16 processors.
        assert!((needs.storm_seconds - 0.5 / 6.4).abs() < 1e-9, "{}", needs.storm_seconds);
    }

    #[test]
    fn a_tenant_is_never_on_more_gateways_than_it_has_connections() {
        for gateways in [1.0, 10.0, 1_000.0, 100_000.0] {
            let on = Installation::of(1e7, Placement::Any).gateways_of_a_tenant(gateways);
            assert!(on <= gateways + 1e-9 && on <= 100.0 + 1e-9, "{on} of {gateways}");
        }
        let few = Installation::of(1e7, Placement::OneOf(2.0)).gateways_of_a_tenant(1_000.0);
        assert!((few - 2.0).abs() < 1e-9, "{few}");
    }

    #[test]
    fn ten_times_as_much_never_needs_less() {
        for half in Installation::SHOWN.chunks(4) {
            let needs: Vec<Needs> = half.iter().map(|shown| shown.needs(&measured())).collect();
            for pair in needs.windows(2) {
                assert!(pair[0].gateways <= pair[1].gateways && pair[0].databases <= pair[1].databases);
                assert!(
                    pair[0].redis_nodes <= pair[1].redis_nodes && pair[0].publishers <= pair[1].publishers
                );
            }
        }
    }

    #[test]
    fn gateways_suffice_for_what_they_have_to_do() {
        for shown in Installation::SHOWN {
            let needs = shown.needs(&measured());
            let busy = shown.gateway_cpu(&measured(), needs.gateways) / (needs.gateways * GATEWAY_PROCESSORS);
            assert!(busy <= BUSY + 1e-9, "{busy} of {shown:?}");
        }
    }
}
