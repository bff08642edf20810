//! Does every target hold on its corpus and on some thousand inputs that nobody has seen?
//!
//! Bounded by counts, not by time. Each run draws a new seed; a failure prints it, and `FUZZ_SEED=… cargo test -p
//! carillon-fuzz` repeats the run. The failing input is left beside those of libFuzzer, in `target/fuzz/crashes/<target>/`:
//! once the fault is mended it belongs into the corpus.

#![expect(clippy::unwrap_used, reason = "a test panics on what it does not expect")]

mod mutation;

use carillon_fuzz::{TARGETS, Target, target};
use mutation::Mutator;
use std::collections::BTreeSet;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

/// Fresh inputs for each target.
const MUTATIONS: usize = 10_000;
/// Every clone of the repository carries the corpus.
const CORPUS_BYTES: u64 = 200 * 1024;

/// What a target said about an input it did not hold on.
#[derive(Debug)]
struct Failure {
    input: Vec<u8>,
    seed: u64,
}

/// Runs a target on its corpus, then on mutations drawn from `seed`. The first failure ends it.
fn attack(check: fn(&[u8]), corpus: &[Vec<u8>], seed: u64, mutations: usize) -> Result<usize, Failure> {
    let mut mutator = Mutator::new(corpus, seed);
    let fresh = (0..mutations).map(|_| mutator.next());
    let mut runs = 0;
    for input in corpus.iter().cloned().chain(fresh) {
        if catch_unwind(AssertUnwindSafe(|| check(&input))).is_err() {
            return Err(Failure { input, seed });
        }
        runs += 1;
    }
    Ok(runs)
}

fn smoke(name: &str) {
    let Target { check, .. } = target(name).unwrap();
    let corpus = corpus(name);
    assert!(!corpus.is_empty(), "no corpus for {name}");
    let seed = std::env::var("FUZZ_SEED").map_or_else(|_| fastrand::u64(..), |seed| seed.parse().unwrap());
    match attack(check, &corpus, seed, MUTATIONS) {
        Ok(runs) => assert_eq!(runs, corpus.len() + MUTATIONS),
        Err(Failure { input, seed }) => {
            let folder = root().join("target/fuzz/crashes").join(name);
            let file = folder.join(format!("smoke-{seed}"));
            fs::create_dir_all(&folder).unwrap();
            fs::write(&file, &input).unwrap();
            panic!("{name} breaks with FUZZ_SEED={seed} on {}: {}", file.display(), input.escape_ascii());
        }
    }
}

#[test]
fn channel_holds() {
    smoke("channel");
}

#[test]
fn client_frame_holds() {
    smoke("client_frame");
}

#[test]
fn codec_holds() {
    smoke("codec");
}

#[test]
fn cursor_holds() {
    smoke("cursor");
}

#[test]
fn envelope_holds() {
    smoke("envelope");
}

#[test]
fn handshake_holds() {
    smoke("handshake");
}

#[test]
fn resume_holds() {
    smoke("resume");
}

#[test]
fn a_planted_fault_is_found_and_found_again_with_the_same_seed() {
    fn breaks_on_two_bytes(input: &[u8]) {
        assert!(!input.windows(2).any(|pair| pair == b"\xff\x7f"), "planted");
    }
    let corpus = [b"one input".to_vec(), b"and another".to_vec()];
    assert_eq!(attack(|_| (), &corpus, 7, 100).unwrap(), 102);
    let found = (0..20).find_map(|seed| attack(breaks_on_two_bytes, &corpus, seed, 100_000).err()).unwrap();
    let again = attack(breaks_on_two_bytes, &corpus, found.seed, 100_000).unwrap_err();
    assert_eq!(again.input, found.input);
}

#[test]
fn the_corpus_is_small_and_belongs_to_the_targets() {
    let folders: BTreeSet<String> = fs::read_dir(here().join("corpus"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(folders, TARGETS.iter().map(|target| target.name.to_owned()).collect());
    let files = folders.iter().flat_map(|name| fs::read_dir(here().join("corpus").join(name)).unwrap());
    let bytes: u64 = files.map(|entry| entry.unwrap().metadata().unwrap().len()).sum();
    assert!(bytes <= CORPUS_BYTES, "{bytes} bytes");
}

/// In the order of the file names, so that a seed means the same everywhere.
fn corpus(name: &str) -> Vec<Vec<u8>> {
    let folder = here().join("corpus").join(name);
    let mut files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.into_iter().map(|file| fs::read(file).unwrap()).collect()
}

fn here() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn root() -> &'static Path {
    here().ancestors().nth(2).unwrap()
}
