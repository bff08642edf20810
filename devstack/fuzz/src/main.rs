//! How does libFuzzer reach a target?
//!
//! It owns `main` and the command line, so the target's name comes in `FUZZ_TARGET`. Give it a file, and it runs that one
//! input: `FUZZ_TARGET=codec fuzz-driver crash-…`.

#![no_main]

use carillon_fuzz::{Target, target};
use std::sync::OnceLock;

static TARGET: OnceLock<Target> = OnceLock::new();

libfuzzer_sys::fuzz_target!(
    init: { TARGET.get_or_init(chosen); },
    |input: &[u8]| (TARGET.get_or_init(chosen).check)(input)
);

fn chosen() -> Target {
    let name = std::env::var("FUZZ_TARGET").unwrap_or_default();
    target(&name).unwrap_or_else(|| panic!("FUZZ_TARGET={name:?} is no target"))
}
