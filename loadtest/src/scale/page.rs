//! docs/SCALE.md: what was measured, how it is reckoned, what an installation needs, and what the plan does not know.

use std::fmt::Write;

use super::measured::Measured;
use super::plan::{
    BUSY, GATEWAY_CONNECTIONS, GATEWAY_PROCESSORS, Needs, POSTGRES_PROCESSORS, PUBLISHER_PROCESSORS,
    Placement,
};
use crate::table::grouped;

/// The whole page.
pub(super) fn write(measured: &Measured, needs: &[Needs]) -> String {
    let mut page = String::from(HEAD);
    let _ = writeln!(page, "{}.\n", measured.circumstances);
    page += &constants(measured);
    page += &reckoning();
    page += &needs_table(needs);
    page += &words(measured, needs);
    page
}

const HEAD: &str = "# Scale: from ten thousand to ten million connections

This page is arithmetic. Each constant was measured by `make bench`; `carillon-loadtest scale --write docs` reads them from
[scale/bench.json](scale/bench.json), works out the tables below and writes this page, and a test compares the two. It says how many machines of
each kind an installation needs, and where the first limit is. Nothing on this page was tried at that size.

The largest installation here needs more than one Postgres, with tenants spread over them. **That is not built**: today an installation has one Postgres,
so its size is the last row with one database.

## What was measured

";

fn constants(measured: &Measured) -> String {
    let Measured { connection_bytes, socket_bytes, memory_error_percent, .. } = measured;
    let us = |value: f64| format!("{value:.1} µs");
    let rows = [
        (
            "a connection at rest, gateway",
            format!("{connection_bytes:.0} B"),
            "B3, the slope through its sizes".to_owned(),
        ),
        ("its socket, kernel", format!("{socket_bytes:.0} B"), "B3".into()),
        ("a delivery, gateway", us(measured.delivery_us), "B1, one frame a write".into()),
        (
            "an event that a gateway receives, without deliveries",
            us(measured.reception_us),
            "B7, many tenants of two sockets".into(),
        ),
        ("an event that comes alone, publisher", us(measured.publish_us), "the same run".into()),
        ("an event that comes alone, Postgres", us(measured.append_us), "the same run".into()),
        ("a connect with nothing to replay, gateway", us(measured.connect_us), "B6".into()),
        (
            "a tenant that a gateway follows, a second, Postgres",
            us(measured.followed_postgres_us),
            "B7, with and without tenants that are only followed".into(),
        ),
        ("the same, gateway", us(measured.followed_gateway_us), "the same runs".into()),
        ("an announcement, Redis", us(measured.announcement_us), "R1, the line through its sizes".into()),
        ("the same, for each gateway that it goes to", us(measured.handed_us), "R1".into()),
    ];
    let mut table = String::from("| what | costs | from |\n|---|---|---|\n");
    for (what, costs, from) in rows {
        let _ = writeln!(table, "| {what} | {costs} | {from} |");
    }
    let _ = writeln!(
        table,
        "\nCPU is user and system time together. The two smaller sizes of B3 foretell the memory of the largest with an error of {memory_error_percent:.0} %. \
         Where a difference between two runs is lost among the rest, the table has 0.\n"
    );
    table
}

fn reckoning() -> String {
    let percent = BUSY * 100.0;
    format!(
        "## How it is reckoned

- A connection has a tenth of an event a second published for it, a tenant has a hundred connections, and ten of them read an event.
- Processors are planned to be {percent:.0} % busy. A gateway has {GATEWAY_PROCESSORS:.0} processors, 24 GiB for connections and at most {most} of them; a machine
  of publishers {PUBLISHER_PROCESSORS:.0} processors, one of Postgres {POSTGRES_PROCESSORS:.0}, a node of Redis one (it has one thread).
- **Gateways that an event goes to** are those with at least one of the tenant's connections: of `n` gateways and `c` connections that are placed by
  chance, `n × (1 − (1 − 1/n)^c)`. A balancer that sends a tenant's clients to one of two gateways, chosen by the tenant's name, makes that two.
- **Gateways**: events a second × (gateways of an event × a reception + readers × a delivery) + tenants × their gateways × what following costs.
- **Redis**: events a second × (an announcement + gateways of an event × what each costs). On a cluster, sharded pub/sub spreads tenants over its nodes.
- **Postgres**: events a second × an event that comes alone + what following costs for all gateways. Batches cost less, which the plan leaves out.
- **When a gateway dies** its connections come to the others, which have {spare:.0} % of their processors for it. **A deploy** replaces a twentieth of the
  gateways at a time; each tells its clients to go for at least a minute, at most 500 a second (`CARILLON_DRAIN_RATE`).

",
        most = grouped(GATEWAY_CONNECTIONS as u64),
        spare = 100.0 - percent,
    )
}

fn needs_table(all: &[Needs]) -> String {
    format!(
        "## What an installation needs\n\n{}\n![Machines of each kind by connections](scale.svg)\n\n",
        needs(all)
    )
}

/// The table of needs.
pub(super) fn needs(all: &[Needs]) -> String {
    let mut table = String::from(
        "| connections | events/s | a tenant's clients on | gateways an event goes to | gateways | decided by | Redis nodes | publishers | databases | a gateway dies: back after | a deploy takes |\n\
         |---|---|---|---|---|---|---|---|---|---|---|\n",
    );
    for needs in all {
        let whole = |value: f64| grouped(value as u64);
        let placement = match needs.installation.placement {
            Placement::Any => "any gateway".to_owned(),
            Placement::OneOf(few) => format!("one of {few:.0}"),
        };
        let decided = if needs.gateways_by_cpu { "processors" } else { "connections" };
        let _ = writeln!(
            table,
            "| {} | {} | {placement} | {:.1} | {} | {decided} | {} | {} | {} | {:.1} s | {:.0} min |",
            whole(needs.installation.connections),
            whole(needs.installation.events_per_second),
            needs.gateways_per_event,
            whole(needs.gateways),
            whole(needs.redis_nodes),
            whole(needs.publishers),
            whole(needs.databases),
            needs.storm_seconds,
            needs.deploy_minutes,
        );
    }
    table
}

fn words(measured: &Measured, needs: &[Needs]) -> String {
    let single =
        needs.iter().filter(|needs| needs.databases <= 1.0).map(|needs| needs.installation.connections);
    let most = grouped(single.fold(0.0, f64::max) as u64);
    let rate = BUSY * POSTGRES_PROCESSORS * 1e6 / measured.append_us;
    let bulk = measured.bulk_per_second / measured.processors;
    format!(
        "## What follows

- **The first limit is Postgres**: {rate} events a second that come alone keep {POSTGRES_PROCESSORS:.0} processors {busy:.0} % busy, if it grows with its processors
  as far as that, which was not measured. Events that come a hundred in a request cost less: {bulk} a second for each processor of a machine that also carries
  publisher and clients. With one database the rows up to {most} connections are what can be had.
- **Where a tenant's clients are decides the rest.** On any gateway, an event of a tenant of a hundred goes to nearly a hundred of them, and receiving it
  costs each of them more than delivering it. A balancer that keeps a tenant on two (a hash of the host name or of a path by tenant) takes away most of it.
  Gateways need nothing for that: a client may come to any of them, so a balancer that is wrong costs processors and nothing else.
- **Memory is not the limit**: a gateway has its most connections long before its memory is full.

## What this plan does not know

- Whether a machine of many processors does as many times as much as one of two. Locks of Postgres on its log (WAL), one network card and one listening
  socket are shared; take the figures as the least that is needed.
- Presence, signals, the inbox, webhooks, analytics, and large events: their costs stand in [PERFORMANCE](PERFORMANCE.md).
- The network between zones, TLS (a balancer's) and the balancers themselves.
- A simulation of two hundred gateways, and a tenant that moves from one database to another, do not exist yet.
",
        rate = grouped((rate / 100.0).round() as u64 * 100),
        busy = BUSY * 100.0,
        bulk = grouped((bulk / 100.0).round() as u64 * 100),
    )
}

#[cfg(test)]
mod tests {
    use super::super::measured::tests::bench;
    use super::super::plan::Installation;
    use super::*;

    #[test]
    fn the_page_has_a_row_for_each_installation_and_constant() {
        let measured = Measured::read(&bench()).unwrap();
        let needs: Vec<Needs> = Installation::SHOWN.iter().map(|shown| shown.needs(&measured)).collect();
        let page = write(&measured, &needs);
        assert_eq!(page.lines().filter(|line| line.starts_with("| 10 000 000 |")).count(), 2);
        assert!(page.contains("| a delivery, gateway | 6.0 µs | B1, one frame a write |"), "{page}");
        assert!(page.contains("commit abc, 2026-11-30, 2 × CPU."), "{page}");
        assert!(!page.contains("NaN") && !page.contains("inf"), "{page}");
    }
}
