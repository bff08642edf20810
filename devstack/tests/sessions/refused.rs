//! How is a publish refused while the log takes no events?

use std::time::Duration;

use carillon_devstack::wait;

use crate::faults::{PATIENCE, Scene, appointment};

/// Publishes until it is refused; it must be by this name, and with a time to come back after.
pub(crate) async fn by_name(scene: &Scene, code: &str, retry_after: u64) {
    let publisher = &scene.publishers()[0];
    let refused = wait::until("a refusal", PATIENCE, || async {
        publisher.publish(&appointment(0, 4_096), None).await.err()
    });
    let error = refused.await.unwrap();
    let problem = error.problem().unwrap_or_else(|| panic!("{error}"));
    assert_eq!((problem.status, problem.code.as_str()), (503, code), "{problem:?}");
    assert_eq!(problem.retry_after, Some(Duration::from_secs(retry_after)), "{problem:?}");
}
