//! Is an object what the manifest says?

use super::fault::Fault;
use super::manifest::Entry;
use super::pack::{Packed, Unpacked, Unpacker};
use super::place::Place;
use bytes::Bytes;
use futures_util::StreamExt;
use object_store::path::Path;
use std::collections::HashMap;
use std::io::{self, Write};

/// Pieces are taken apart together until they are so many bytes: a thread is not woken for each.
const TOGETHER: usize = 1024 * 1024;

/// Reads an object back and compares it with its entry: size and hash of the object, size and hash of its lines, how many they are, and
/// the first and the last number.
pub(super) async fn read_back(place: &Place, entry: &Entry) -> Result<(), Fault> {
    let (unpacked, _) = unpack(place, entry, io::sink()).await?;
    compare(entry, &unpacked)
}

/// Whether an object is there and as long as its entry says. What was read back a while ago need not be read again for it.
pub(super) fn is_there(sizes: &HashMap<Path, u64>, entry: &Entry) -> bool {
    sizes.get(&Path::from(entry.object.as_str())) == Some(&entry.stored_bytes)
}

/// Reads an object and hands on its lines; what came is to be [`compare`]d.
pub(super) async fn unpack<W: Write + Send + 'static>(
    place: &Place,
    entry: &Entry,
    to: W,
) -> Result<(Unpacked, W), Fault> {
    let mut unpacker = Unpacker::new(to)?;
    let mut pieces = place.read(&entry.object).await?;
    let mut held: Vec<Bytes> = Vec::new();
    loop {
        let piece = pieces.next().await.transpose()?;
        let ends = piece.is_none();
        held.extend(piece);
        if ends || held.iter().map(Bytes::len).sum::<usize>() >= TOGETHER {
            let together = std::mem::take(&mut held);
            let object = entry.object.clone();
            unpacker = tokio::task::spawn_blocking(move || {
                let broken = |why: io::Error| Fault::Broken { object: object.clone(), why: why.to_string() };
                together.iter().try_for_each(|piece| unpacker.add(piece)).map_err(broken)?;
                Ok::<_, Fault>(unpacker)
            })
            .await??;
        }
        if ends {
            return Ok(unpacker.finish()?);
        }
    }
}

/// Whether what came is what the entry says.
pub(super) fn compare(entry: &Entry, came: &Unpacked) -> Result<(), Fault> {
    let Packed { bytes, sha256, stored_bytes, stored_sha256 } = &came.packed;
    let broken = |what: &str, is: &str, said: &str| {
        let why = format!("{what} is {is}, the manifest says {said}");
        Err(Fault::Broken { object: entry.object.clone(), why })
    };
    let numbers = [
        ("its size", *stored_bytes, entry.stored_bytes),
        ("the size of its lines", *bytes, entry.bytes),
        ("the number of its lines", came.lines, entry.events),
        ("its first event", came.first_seq.unwrap_or(0), entry.first_seq),
        ("its last event", came.last_seq.unwrap_or(0), entry.last_seq),
    ];
    if let Some((what, is, said)) = numbers.into_iter().find(|(_, is, said)| is != said) {
        return broken(what, &is.to_string(), &said.to_string());
    }
    if *stored_sha256 != entry.stored_sha256 {
        return broken("its SHA-256", stored_sha256, &entry.stored_sha256);
    }
    if *sha256 != entry.sha256 {
        return broken("the SHA-256 of its lines", sha256, &entry.sha256);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::pack::Packer;
    use super::super::place::PIECE;
    use super::*;
    use carillon_protocol::TenantId;
    use object_store::memory::InMemory;

    /// An object with so many lines, written as a day is, and what a manifest says of it.
    async fn stored(place: &Place, lines: u64) -> Entry {
        let text: Vec<u8> = (7..7 + lines)
            .flat_map(|seq| {
                // What does not get smaller, so that there are several pieces.
                let noise = uuid::Uuid::new_v4();
                format!("{{\"seq\":{seq},\"tenant\":\"acme\",\"noise\":\"{noise}\"}}\n").into_bytes()
            })
            .collect();
        let tenant = TenantId::new("acme").unwrap();
        let object = Place::object("2026-10-30".parse().unwrap(), &tenant);
        let mut writing = place.write(&object).await.unwrap();
        let mut packer = Packer::new(text.len() as u64).unwrap();
        for piece in text.chunks(1_000_000) {
            writing.add(packer.add(piece).unwrap()).await.unwrap();
        }
        let (last, packed) = packer.finish().unwrap();
        writing.add(last).await.unwrap();
        writing.finish().await.unwrap();
        Entry {
            tenant,
            object,
            epoch: "e1".to_owned(),
            events: lines,
            first_seq: 7,
            last_seq: 6 + lines,
            bytes: packed.bytes,
            sha256: packed.sha256,
            stored_bytes: packed.stored_bytes,
            stored_sha256: packed.stored_sha256,
        }
    }

    type Change = fn(&mut Entry);

    fn why(result: Result<(), Fault>) -> String {
        let Err(Fault::Broken { why, .. }) = result else { panic!("{result:?}") };
        why
    }

    #[tokio::test]
    async fn an_object_that_went_or_is_another_since_it_was_read_back_is_not_there() {
        let place = Place::of(InMemory::new());
        let entry = stored(&place, 100).await;
        let day = "2026-10-30".parse().unwrap();
        assert!(is_there(&place.sizes(day).await.unwrap(), &entry));
        assert!(!is_there(&place.sizes("2026-10-31".parse().unwrap()).await.unwrap(), &entry));
        let shorter = stored(&place, 90).await;
        let sizes = place.sizes(day).await.unwrap();
        assert!(is_there(&sizes, &shorter) && !is_there(&sizes, &entry));
    }

    #[tokio::test]
    async fn an_object_in_one_piece_and_one_in_several_are_what_was_written() {
        let place = Place::of(InMemory::new());
        read_back(&place, &stored(&place, 100).await).await.unwrap();
        let large = stored(&place, 700_000).await;
        assert!(large.stored_bytes > PIECE as u64, "{large:?}");
        read_back(&place, &large).await.unwrap();
    }

    #[tokio::test]
    async fn each_difference_between_an_object_and_its_manifest_is_named() {
        let place = Place::of(InMemory::new());
        let good = stored(&place, 100).await;
        let cases: [(Change, &str); 7] = [
            (|entry| entry.events += 1, "the number of its lines"),
            (|entry| entry.first_seq += 1, "its first event"),
            (|entry| entry.last_seq += 1, "its last event"),
            (|entry| entry.bytes += 1, "the size of its lines"),
            (|entry| entry.sha256 = "0".repeat(64), "the SHA-256 of its lines"),
            (|entry| entry.stored_bytes += 1, "its size"),
            (|entry| entry.stored_sha256 = "0".repeat(64), "its SHA-256"),
        ];
        for (change, says) in cases {
            let mut other = good.clone();
            change(&mut other);
            let why = why(read_back(&place, &other).await);
            assert!(why.starts_with(says), "{why}");
        }
        let missing =
            Entry { object: "day=2026-10-30/tenant=other/events.ndjson.zst".to_owned(), ..good.clone() };
        assert_eq!(why(read_back(&place, &missing).await), "it is missing");
        place.write(&good.object).await.unwrap().finish().await.unwrap();
        assert_eq!(why(read_back(&place, &good).await), "it is empty");
    }
}
