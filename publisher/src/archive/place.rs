//! Where is the archive, is it ours, and how is a piece of it read and written?
//!
//! A directory or a bucket. At its root stands a mark, `archive.json`, that names the installation: two of them never write over each
//! other's days, and a directory whose volume is not mounted is not taken for an empty archive.

use super::{Fault, Manifest};
use bytes::Bytes;
use carillon_protocol::TenantId;
use futures_util::stream::{self, BoxStream};
use futures_util::{StreamExt, TryStreamExt};
use jiff::civil::Date;
use object_store::aws::AmazonS3Builder;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{GetOptions, ObjectStore, ObjectStoreExt, PutPayload, WriteMultipart};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

/// Pieces in which an object is uploaded and read. A bucket takes 10,000 of them at most: 80 GB.
pub(super) const PIECE: usize = 8 * 1024 * 1024;
const MARK: &str = "archive.json";
const MANIFEST: &str = "manifest.json";
const DAY: &str = "day=";

/// Where an archive is: `file:///var/lib/carillon/archive`, `s3://bucket/prefix`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ArchiveUrl {
    /// A directory.
    Directory(PathBuf),
    /// A bucket, and what its objects' names begin with.
    Bucket {
        /// Its name.
        bucket: String,
        /// Without slashes at its ends.
        prefix: String,
    },
}

impl ArchiveUrl {
    /// What may be written.
    pub const ALLOWED: &'static str = "file:///directory or s3://bucket/prefix";

    /// Reads one.
    pub fn read(text: &str) -> Option<Self> {
        if text.len() > 1_024 || text.chars().any(|c| c.is_control() || matches!(c, '?' | '#')) {
            return None;
        }
        if let Some(path) = text.strip_prefix("file://") {
            let path = percent_encoding::percent_decode_str(path).decode_utf8().ok()?;
            let directory = path.trim_end_matches('/');
            return directory.starts_with('/').then(|| Self::Directory(directory.into()));
        }
        let (bucket, prefix) = match text.strip_prefix("s3://")?.split_once('/') {
            Some((bucket, prefix)) => (bucket, prefix.trim_matches('/')),
            None => (text.strip_prefix("s3://")?, ""),
        };
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
        let good = (3..=63).contains(&bucket.len()) && bucket.chars().all(plain);
        let whole = prefix
            .split('/')
            .all(|part| part != ".." && part != "." && (!part.is_empty() || prefix.is_empty()));
        (good && whole).then(|| Self::Bucket { bucket: bucket.to_owned(), prefix: prefix.to_owned() })
    }
}

impl std::fmt::Display for ArchiveUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Directory(path) => write!(f, "file://{}", path.display()),
            Self::Bucket { bucket, prefix } if prefix.is_empty() => write!(f, "s3://{bucket}"),
            Self::Bucket { bucket, prefix } => write!(f, "s3://{bucket}/{prefix}"),
        }
    }
}

/// Whose archive it is.
#[derive(Debug, Serialize, Deserialize)]
struct Mark {
    installation: String,
}

/// An archive that can be read and written.
#[derive(Debug, Clone)]
pub struct Place {
    store: Arc<dyn ObjectStore>,
    /// Where it is on this machine, if it is.
    directory: Option<PathBuf>,
}

impl Place {
    /// Opens it. A directory has to be there; a bucket is asked when it is used, with the credentials that the AWS SDKs' variables
    /// name (`AWS_ACCESS_KEY_ID`, `AWS_REGION`, `AWS_ENDPOINT_URL`, a web identity, the instance's role).
    pub fn open(url: &ArchiveUrl) -> Result<Self, Fault> {
        Ok(match url {
            ArchiveUrl::Directory(path) => {
                let store = LocalFileSystem::new_with_prefix(path)?.with_fsync(true);
                Self { store: Arc::new(store), directory: Some(path.clone()) }
            }
            ArchiveUrl::Bucket { bucket, prefix } => {
                let store = AmazonS3Builder::from_env().with_bucket_name(bucket).build()?;
                let store: Arc<dyn ObjectStore> = match prefix.is_empty() {
                    true => Arc::new(store),
                    false => Arc::new(PrefixStore::new(store, prefix.as_str())),
                };
                Self { store, directory: None }
            }
        })
    }

    #[cfg(test)]
    pub(super) fn of(store: impl ObjectStore) -> Self {
        Self { store: Arc::new(store), directory: None }
    }

    /// Whose it is, if it is somebody's.
    pub async fn owner(&self) -> Result<Option<String>, Fault> {
        let Some(bytes) = self.read_whole(MARK).await? else { return Ok(None) };
        let mark: Mark = serde_json::from_slice(&bytes)
            .map_err(|fault| Fault::Broken { object: MARK.to_owned(), why: fault.to_string() })?;
        Ok(Some(mark.installation))
    }

    /// Makes it ours.
    pub(super) async fn mark(&self, installation: &str) -> Result<(), Fault> {
        let mark = Mark { installation: installation.to_owned() };
        let mut bytes = serde_json::to_vec(&mark).map_err(std::io::Error::from)?;
        bytes.push(b'\n');
        self.write_whole(MARK, bytes.into()).await
    }

    /// The days that have a manifest or something that is not finished, in their order.
    pub async fn days(&self) -> Result<Vec<Date>, Fault> {
        let listed = self.store.list_with_delimiter(None).await?;
        let day = |path: Path| path.filename()?.strip_prefix(DAY)?.parse().ok();
        let mut days: Vec<Date> = listed.common_prefixes.into_iter().filter_map(day).collect();
        days.sort_unstable();
        Ok(days)
    }

    /// What there is of a day, and its size in bytes.
    pub(super) async fn sizes(&self, day: Date) -> Result<HashMap<Path, u64>, Fault> {
        let folder = Path::from(format!("{DAY}{day}"));
        let listed = self.store.list(Some(&folder)).map_ok(|object| (object.location, object.size));
        Ok(listed.try_collect().await?)
    }

    /// The tenants that have a folder in a day, by name.
    pub(super) async fn tenants(&self, day: Date) -> Result<Vec<TenantId>, Fault> {
        let listed = self.store.list_with_delimiter(Some(&Path::from(format!("{DAY}{day}")))).await?;
        let tenant = |path: Path| TenantId::new(path.filename()?.strip_prefix("tenant=")?).ok();
        let mut tenants: Vec<TenantId> = listed.common_prefixes.into_iter().filter_map(tenant).collect();
        tenants.sort_unstable();
        Ok(tenants)
    }

    /// How many bytes of lines an object's frame says that it has.
    pub(super) async fn declared_bytes(&self, name: &str) -> Result<Option<u64>, Fault> {
        let first = self.read(name).await?.next().await.transpose()?.unwrap_or_default();
        Ok(zstd::zstd_safe::get_frame_content_size(&first).ok().flatten())
    }

    /// A day's manifest, if it is finished.
    pub async fn manifest(&self, day: Date) -> Result<Option<Manifest>, Fault> {
        let name = format!("{DAY}{day}/{MANIFEST}");
        let Some(bytes) = self.read_whole(&name).await? else { return Ok(None) };
        Manifest::of_bytes(day, &bytes).map(Some)
    }

    /// What stands where a day's manifest is, whatever it is.
    pub(super) async fn manifest_text(&self, day: Date) -> Result<Option<String>, Fault> {
        let bytes = self.read_whole(&format!("{DAY}{day}/{MANIFEST}")).await?;
        Ok(bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
    }

    /// Writes a day's manifest, and reads it back.
    pub(super) async fn write_manifest(&self, manifest: &Manifest) -> Result<(), Fault> {
        let name = format!("{DAY}{}/{MANIFEST}", manifest.day);
        self.write_whole(&name, manifest.to_bytes()?.into()).await?;
        match self.manifest(manifest.day).await? {
            Some(read) if read == *manifest => Ok(()),
            _ => Err(Fault::Broken { object: name, why: "it was written and is not there".to_owned() }),
        }
    }

    /// The name of a tenant's object.
    pub(super) fn object(day: Date, tenant: &TenantId) -> String {
        format!("{DAY}{day}/tenant={tenant}/events.ndjson.zst")
    }

    /// The bytes of an object, a piece a request: one answer for all of a large one would have to come within a request's time limit.
    pub(super) async fn read(&self, name: &str) -> Result<BoxStream<'static, Result<Bytes, Fault>>, Fault> {
        let (store, path) = (self.store.clone(), Path::from(name));
        let broken = |why: &str| Fault::Broken { object: name.to_owned(), why: why.to_owned() };
        let first = match store.get_opts(&path, piece(0)).await {
            Ok(first) => first,
            Err(object_store::Error::NotFound { .. }) => return Err(broken("it is missing")),
            // Of an object without a byte no piece can be had.
            Err(error) => {
                let is_empty = matches!(store.head(&path).await, Ok(meta) if meta.size == 0);
                return Err(if is_empty { broken("it is empty") } else { error.into() });
            }
        };
        let size = first.meta.size;
        let first = first.bytes().await?;
        let rest = stream::try_unfold(first.len() as u64, move |at| {
            let (store, path) = (store.clone(), path.clone());
            async move {
                if at >= size {
                    return Ok(None);
                }
                let bytes = store.get_opts(&path, piece(at)).await?.bytes().await?;
                let next = if bytes.is_empty() { size } else { at + bytes.len() as u64 };
                Ok::<_, Fault>(Some((bytes, next)))
            }
        });
        Ok(stream::once(std::future::ready(Ok(first))).chain(rest).boxed())
    }

    /// Begins to write an object.
    pub(super) async fn write(&self, name: &str) -> Result<Writing, Fault> {
        self.clean(name).await?;
        Ok(Writing { place: self.clone(), name: name.to_owned(), held: Vec::new(), upload: None })
    }

    async fn write_whole(&self, name: &str, bytes: Bytes) -> Result<(), Fault> {
        self.store.put(&Path::from(name), PutPayload::from_bytes(bytes)).await?;
        Ok(())
    }

    async fn read_whole(&self, name: &str) -> Result<Option<Bytes>, Fault> {
        match self.store.get(&Path::from(name)).await {
            Ok(object) => Ok(Some(object.bytes().await?)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Removes what a process that was killed has left beside an object in a directory: `events.ndjson.zst#1`.
    async fn clean(&self, name: &str) -> Result<(), Fault> {
        let Some(folder) =
            self.directory.as_ref().and_then(|root| root.join(name).parent().map(PathBuf::from))
        else {
            return Ok(());
        };
        tokio::task::spawn_blocking(move || {
            let Ok(entries) = std::fs::read_dir(folder) else { return };
            let left = |entry: &std::fs::DirEntry| entry.file_name().to_string_lossy().contains(".zst#");
            for entry in entries.filter_map(Result::ok).filter(left) {
                // What cannot be removed is passed over by whoever reads.
                let _ = std::fs::remove_file(entry.path());
            }
        })
        .await?;
        Ok(())
    }
}

/// The piece of an object that begins there.
fn piece(at: u64) -> GetOptions {
    GetOptions { range: Some((at..at + PIECE as u64).into()), ..GetOptions::default() }
}

/// An object that is being written: whole when it is finished, else not there.
pub(super) struct Writing {
    place: Place,
    name: String,
    held: Vec<u8>,
    upload: Option<WriteMultipart>,
}

impl Writing {
    /// Adds bytes. Waits while two pieces are under way.
    pub(super) async fn add(&mut self, bytes: Vec<u8>) -> Result<(), Fault> {
        if let Some(upload) = &mut self.upload {
            upload.wait_for_capacity(2).await?;
            upload.put(bytes.into());
            return Ok(());
        }
        self.held.extend_from_slice(&bytes);
        if self.held.len() >= PIECE {
            let upload = self.place.store.put_multipart(&Path::from(self.name.as_str())).await?;
            let upload = self.upload.insert(WriteMultipart::new_with_chunk_size(upload, PIECE));
            upload.put(std::mem::take(&mut self.held).into());
        }
        Ok(())
    }

    /// Ends it.
    pub(super) async fn finish(self) -> Result<(), Fault> {
        match self.upload {
            Some(upload) => {
                upload.finish().await?;
                Ok(())
            }
            None => self.place.write_whole(&self.name, self.held.into()).await,
        }
    }

    /// Gives it up: a bucket keeps the pieces of an upload, and charges for them, until somebody does.
    pub(super) async fn abort(self) {
        if let Some(upload) = self.upload {
            // It has failed already; what is left is for the bucket's rule about unfinished uploads.
            let _ = upload.abort().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_directory_or_a_bucket() {
        let bucket = |bucket: &str, prefix: &str| {
            Some(ArchiveUrl::Bucket { bucket: bucket.to_owned(), prefix: prefix.to_owned() })
        };
        assert_eq!(ArchiveUrl::read("file:///srv/a%20b"), Some(ArchiveUrl::Directory("/srv/a b".into())));
        assert_eq!(ArchiveUrl::read("s3://my-bucket"), bucket("my-bucket", ""));
        assert_eq!(ArchiveUrl::read("s3://my-bucket/"), bucket("my-bucket", ""));
        assert_eq!(ArchiveUrl::read("s3://my-bucket/a/b/"), bucket("my-bucket", "a/b"));
        for wrong in [
            "",
            "file://",
            "file:///",
            "file:////",
            "file://srv",
            "/srv",
            "s3://",
            "s3://a",
            "s3://bucket/../x",
            "s3://bucket/a//b",
            "s3://user:secret@bucket",
            "s3://bucket?x=1",
            "gs://bucket",
            "https://bucket",
        ] {
            assert_eq!(ArchiveUrl::read(wrong), None, "{wrong}");
        }
        for right in ["file:///srv", "s3://my-bucket", "s3://my-bucket/a/b"] {
            assert_eq!(ArchiveUrl::read(right).unwrap().to_string(), right);
        }
        assert_eq!(
            ArchiveUrl::read("file:///srv/a//").unwrap().to_string(),
            "file:///srv/a",
            "one place, one name"
        );
    }
}
