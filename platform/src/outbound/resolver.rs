//! Which addresses has a name, and which of them may be connected to?
//!
//! The client's only source of addresses: what it connects to was judged here. A look-up is the system's, which cannot be
//! stopped, so each has a thread until it ends; a name is looked up once at a time, and few names at a time.

use super::address::is_open;
use crate::env::Cidr;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::Semaphore;

/// Names that are looked up at a time.
const LOOKUPS: usize = 32;

/// Addresses of a name; or the error's text.
type Found = Result<Arc<[IpAddr]>, Arc<str>>;
type Lookup = Shared<BoxFuture<'static, Found>>;

/// Looks names up and passes on what may be connected to.
#[derive(Clone)]
pub(super) struct JudgingResolver {
    opened: Arc<[Cidr]>,
    threads: Arc<Semaphore>,
    under_way: Arc<Mutex<HashMap<String, Lookup>>>,
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
        let threads = Arc::new(Semaphore::new(LOOKUPS));
        Self { opened: opened.into(), threads, under_way: Arc::default() }
    }

    /// Those of a name's addresses that may be connected to.
    async fn open_addresses(
        self,
        name: String,
    ) -> Result<Vec<SocketAddr>, Box<dyn std::error::Error + Send + Sync>> {
        let found = self.look_up(name).await.map_err(NotFound)?;
        // The port is the URL's: it takes the place of 0.
        let open: Vec<SocketAddr> = found
            .iter()
            .filter(|address| is_open(**address, &self.opened))
            .map(|address| SocketAddr::new(*address, 0))
            .collect();
        if open.is_empty() { Err(NoOpenAddress.into()) } else { Ok(open) }
    }

    /// The look-up of this name that is under way, or a new one. It goes on when nobody waits for it any more.
    fn look_up(&self, name: String) -> Lookup {
        let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lookup) = under_way.get(&name) {
            return lookup.clone();
        }
        let (this, wanted) = (self.clone(), name.clone());
        let task = tokio::spawn(async move {
            let found = system_lookup(&this.threads, &wanted).await;
            this.under_way.lock().unwrap_or_else(PoisonError::into_inner).remove(&wanted);
            found
        });
        let lookup = task
            .map(|ended| ended.unwrap_or_else(|_| Err("the look-up was given up".into())))
            .boxed()
            .shared();
        under_way.insert(name, lookup.clone());
        lookup
    }
}

async fn system_lookup(threads: &Semaphore, name: &str) -> Found {
    // Never closed.
    let _thread = threads.acquire().await;
    match tokio::net::lookup_host((name, 0)).await {
        Ok(found) => Ok(found.map(|address| address.ip()).collect()),
        Err(error) => Err(error.to_string().into()),
    }
}

impl Resolve for JudgingResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let this = self.clone();
        let name = name.as_str().to_owned();
        async move { this.open_addresses(name).await.map(|open| Box::new(open.into_iter()) as Addrs) }.boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_name_of_this_machine_is_looked_up_and_closed_unless_it_is_opened() {
        let closed = JudgingResolver::new(&[]).open_addresses("localhost".into()).await.unwrap_err();
        assert!(closed.is::<NoOpenAddress>(), "{closed}");
        let opened: Vec<Cidr> = ["127.0.0.0/8", "::1"].map(|text| text.parse().unwrap()).into();
        let resolver = JudgingResolver::new(&opened);
        let (one, two) = tokio::join!(
            resolver.clone().open_addresses("localhost".into()),
            resolver.clone().open_addresses("localhost".into()),
        );
        let one = one.unwrap();
        assert!(one.iter().all(|address| address.ip().is_loopback() && address.port() == 0), "{one:?}");
        assert_eq!(one, two.unwrap());
        assert!(resolver.under_way.lock().unwrap().is_empty(), "nothing is kept of a look-up that has ended");
    }

    #[tokio::test]
    async fn a_name_that_is_not_there_is_an_error_and_no_address() {
        let error = JudgingResolver::new(&[]).open_addresses("nothing.invalid".into()).await.unwrap_err();
        assert!(error.is::<NotFound>(), "{error}");
    }
}
