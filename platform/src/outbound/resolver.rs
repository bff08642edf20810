//! Which addresses has a name, and which of them may be connected to?
//!
//! The client's only source of addresses: what it connects to was judged here. A look-up is the system's, which cannot be
//! stopped, so each has a thread until it ends; a name is looked up once at a time for a tenant, and few names at a time: of one tenant fewer than
//! there are threads, so that names which answer slowly leave the others theirs.

use super::address::is_open;
use crate::env::Cidr;
use crate::share::{FairPermits, Holder, PermitLimits};
use carillon_protocol::TenantId;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

/// Names that are looked up at a time, and those that wait.
const LOOKUPS: PermitLimits = PermitLimits {
    total: 32,
    per_group: 8,
    per_member: 8,
    waiting: 1_024,
    waiting_per_group: 64,
    waiting_per_member: 64,
};

tokio::task_local! {
    /// For whom this task calls.
    static OWNER: TenantId;
}

/// Carries out a call for a tenant: the names that are looked up for it are of that tenant's share.
pub(super) async fn on_behalf_of<T>(owner: TenantId, call: impl Future<Output = T>) -> T {
    OWNER.scope(owner, call).await
}

/// Threads by whom they work for; none: for nobody in particular.
type Threads = FairPermits<Option<TenantId>, ()>;

/// For whom which name is looked up: no tenant waits in the row of another.
type Wanted = (Option<TenantId>, String);

/// Addresses of a name; or the error's text.
type Found = Result<Arc<[IpAddr]>, Arc<str>>;
type Lookup = Shared<BoxFuture<'static, Found>>;

/// Looks names up and passes on what may be connected to.
#[derive(Clone)]
pub(super) struct JudgingResolver {
    opened: Arc<[Cidr]>,
    threads: Threads,
    under_way: Arc<Mutex<HashMap<Wanted, Lookup>>>,
}

/// None of a name's addresses may be connected to.
#[derive(Debug, thiserror::Error)]
#[error("the name leads to no address that is public or opened by this installation")]
pub(super) struct NoOpenAddress;

#[derive(Debug, thiserror::Error)]
#[error("the name cannot be looked up: {0}")]
struct NotFound(Arc<str>);

impl JudgingResolver {
    pub(super) fn new(opened: &[Cidr]) -> Self {
        Self { opened: opened.into(), threads: FairPermits::new(LOOKUPS), under_way: Arc::default() }
    }

    /// Those of a name's addresses that may be connected to.
    async fn open_addresses(
        self,
        owner: Option<TenantId>,
        name: String,
    ) -> Result<Vec<SocketAddr>, Box<dyn std::error::Error + Send + Sync>> {
        let found = self.look_up(owner, name).await.map_err(NotFound)?;
        // The port is the URL's: it takes the place of 0.
        let open: Vec<SocketAddr> = found
            .iter()
            .filter(|address| is_open(**address, &self.opened))
            .map(|address| SocketAddr::new(*address, 0))
            .collect();
        if open.is_empty() { Err(NoOpenAddress.into()) } else { Ok(open) }
    }

    /// The look-up of this name that is under way, or a new one. It goes on when nobody waits for it any more.
    fn look_up(&self, owner: Option<TenantId>, name: String) -> Lookup {
        let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        let wanted = (owner, name);
        if let Some(lookup) = under_way.get(&wanted) {
            return lookup.clone();
        }
        let (this, key) = (self.clone(), wanted.clone());
        let task = tokio::spawn(async move {
            let (owner, name) = &wanted;
            let found = system_lookup(&this.threads, owner.clone(), name).await;
            this.under_way.lock().unwrap_or_else(PoisonError::into_inner).remove(&wanted);
            found
        });
        let lookup = task
            .map(|ended| ended.unwrap_or_else(|_| Err("the look-up was given up".into())))
            .boxed()
            .shared();
        under_way.insert(key, lookup.clone());
        lookup
    }
}

async fn system_lookup(threads: &Threads, owner: Option<TenantId>, name: &str) -> Found {
    let waited = threads.acquire(Holder::group(owner)).await;
    let _thread = waited.map_err(|refused| format!("too many names wait to be looked up: {refused}"))?;
    match tokio::net::lookup_host((name, 0)).await {
        Ok(found) => Ok(found.map(|address| address.ip()).collect()),
        Err(error) => Err(error.to_string().into()),
    }
}

impl Resolve for JudgingResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let this = self.clone();
        let (owner, name) = (OWNER.try_with(Clone::clone).ok(), name.as_str().to_owned());
        async move { this.open_addresses(owner, name).await.map(|open| Box::new(open.into_iter()) as Addrs) }
            .boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test]
    async fn a_name_of_this_machine_is_looked_up_and_closed_unless_it_is_opened() {
        let closed = JudgingResolver::new(&[]).open_addresses(None, "localhost".into()).await.unwrap_err();
        assert!(closed.is::<NoOpenAddress>(), "{closed}");
        let opened: Vec<Cidr> = ["127.0.0.0/8", "::1"].map(|text| text.parse().unwrap()).into();
        let resolver = JudgingResolver::new(&opened);
        let (one, two) = tokio::join!(
            resolver.clone().open_addresses(None, "localhost".into()),
            resolver.clone().open_addresses(None, "localhost".into()),
        );
        let one = one.unwrap();
        assert!(one.iter().all(|address| address.ip().is_loopback() && address.port() == 0), "{one:?}");
        assert_eq!(one, two.unwrap());
        assert!(resolver.under_way.lock().unwrap().is_empty(), "nothing is kept of a look-up that has ended");
    }

    #[tokio::test]
    async fn a_tenant_whose_names_answer_slowly_leaves_the_others_their_look_ups() {
        let opened: Vec<Cidr> = ["127.0.0.0/8", "::1"].map(|text| text.parse().unwrap()).into();
        let resolver = JudgingResolver::new(&opened);
        let tenant = |name: &str| TenantId::new(name).unwrap();
        let mut slow = Vec::new();
        for _ in 0..LOOKUPS.per_group {
            slow.push(resolver.threads.acquire(Holder::group(Some(tenant("slow")))).await.unwrap());
        }
        // Nobody listens there: a call that fails has looked the name up.
        let client =
            reqwest::Client::builder().no_proxy().tls_certs_only([]).dns_resolver(Arc::new(resolver.clone()));
        let client = client.build().unwrap();
        let call = async |owner: &str, url: &str, within: Duration| {
            let sent = on_behalf_of(tenant(owner), client.get(url).send());
            tokio::time::timeout(within, sent).await.is_ok()
        };
        // Whoever waits does so for ever; whoever is served is so in any case, at the machine's pace.
        let (never, surely) = (Duration::from_millis(500), Duration::from_secs(20));
        assert!(!call("slow", "http://localhost.:1/", never).await, "it has its share already");
        assert!(call("other", "http://localhost:1/", surely).await);
        assert!(!call("slow", "http://localhost:1/", never).await);
        let waits_elsewhere = "also a name that waits in another tenant's row";
        assert!(call("other", "http://localhost:1/", surely).await, "{waits_elsewhere}");
        drop(slow);
        assert!(call("slow", "http://localhost:1/", surely).await);
    }

    #[tokio::test]
    async fn a_name_that_is_not_there_is_an_error_and_no_address() {
        let error =
            JudgingResolver::new(&[]).open_addresses(None, "nothing.invalid".into()).await.unwrap_err();
        assert!(error.is::<NotFound>(), "{error}");
    }
}
