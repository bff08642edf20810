//! Who serves the example pages of `carillon up --examples`, and where?
//!
//! Their own server does, `web/examples/serve.mjs`: it makes tokens with the stack's secret and publishes with its key, as the back
//! end of an application does. It listens on loopback only.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::net::TcpStream;

use super::say;
use crate::find;
use crate::info::StackInfo;
use crate::ports::{PortError, Ports, loopback};
use crate::process::{Lifetime, Process, ProcessError, Signal, Spec};
use crate::state::EXAMPLES;

/// The pages, each at its name.
pub(super) const PAGES: [&str; 5] = ["appointments", "crm", "leads", "shop", "school"];

/// Time until it has set the rules of its tenants, written its first notices, and listens.
const READY: Duration = Duration::from_secs(30);

/// Why the example pages cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ExamplesError {
    /// This program stands alone, without the sources.
    #[error("cannot find web/examples, neither in this folder nor where this program was built")]
    Sources,
    /// There are sources, and no pages.
    #[error("the example pages in {} are not built; `cd web && npm ci && npm run build` does it", .0.display())]
    NotBuilt(PathBuf),
    /// There is nothing to run their server with.
    #[error("node is missing; the example pages need Node 20.19 or newer (Debian: apt-get install nodejs)")]
    Node,
    /// They have no port.
    #[error(transparent)]
    Port(#[from] PortError),
    /// Their server did not start.
    #[error(transparent)]
    Process(#[from] ProcessError),
}

/// Pages that are built, and what serves them.
#[derive(Debug)]
pub(super) struct Examples {
    folder: PathBuf,
    node: PathBuf,
}

impl Examples {
    /// Before anything starts: all that is needed is there.
    pub(super) fn find() -> Result<Self, ExamplesError> {
        // From `target/debug/carillon`, or from the folder with the sources.
        let built =
            std::env::current_exe().ok().and_then(|exe| exe.ancestors().nth(3).map(Path::to_path_buf));
        let roots = std::env::current_dir().ok().into_iter().chain(built);
        Self::among(roots.map(|root| root.join("web/examples")), find::program("node"))
    }

    fn among(folders: impl Iterator<Item = PathBuf>, node: Option<PathBuf>) -> Result<Self, ExamplesError> {
        let mut folders = folders.filter(|folder| folder.join("serve.mjs").is_file());
        let folder = folders.next().ok_or(ExamplesError::Sources)?;
        if !folder.join("dist/index.html").is_file() {
            return Err(ExamplesError::NotBuilt(folder));
        }
        Ok(Self { folder, node: node.ok_or(ExamplesError::Node)? })
    }

    /// Starts their server on the port it had before, or a free one; answers its address once it listens.
    pub(super) async fn start(
        self,
        data: &Path,
        info: &StackInfo,
        detached: bool,
    ) -> Result<(Process, String), ExamplesError> {
        let port = Ports::remembered(data, |text| say(&format!("  {text}")))?.take(EXAMPLES)?;
        let variable = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let process = Process::start(Spec {
            name: EXAMPLES.into(),
            program: self.node,
            args: vec![self.folder.join("serve.mjs").into()],
            env: vec![
                variable("CARILLON_URL", &info.lb),
                variable("CARILLON_API_KEY", &info.api_key),
                variable("CARILLON_JWT_SECRET", &info.jwt_secret),
                variable("PORT", &port.to_string()),
            ],
            log: data.join("log").join("examples.log"),
            folder: self.folder,
            account: None,
            lifetime: if detached { Lifetime::Detached } else { Lifetime::Tied(Signal::KILL) },
            stop: Signal::TERM,
            grace: Duration::from_secs(5),
        })?;
        process.ready(READY, || async { TcpStream::connect(loopback(port)).await.is_ok() }).await?;
        Ok((process, format!("http://{}/", loopback(port))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named_with_the_way_to_get_it() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("web/examples");
        let find = |node: Option<&str>| {
            let found = Examples::among([folder.clone()].into_iter(), node.map(Into::into));
            found.map(|_| ()).map_err(|error| error.to_string())
        };
        assert!(find(None).unwrap_err().contains("web/examples"));
        std::fs::create_dir_all(folder.join("dist")).unwrap();
        std::fs::write(folder.join("serve.mjs"), "").unwrap();
        assert!(find(Some("/usr/bin/node")).unwrap_err().contains("npm run build"));
        std::fs::write(folder.join("dist/index.html"), "").unwrap();
        assert!(find(None).unwrap_err().contains("Node 20.19"));
        find(Some("/usr/bin/node")).unwrap();
    }
}
