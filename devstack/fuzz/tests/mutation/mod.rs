//! How does an input become one that nobody has seen?
//!
//! A few small damages to an entry of the corpus, which leave most of it valid and so reach behind the first check. No
//! coverage guides them; that is libFuzzer's work.

use fastrand::Rng;

/// Longest input, in bytes: limits of the targets' readers are within reach, runs stay short.
const INPUT_BYTES: usize = 4096;

/// Draws inputs; the same corpus and seed give the same sequence.
pub(crate) struct Mutator<'a> {
    corpus: &'a [Vec<u8>],
    rng: Rng,
}

impl<'a> Mutator<'a> {
    /// `corpus` has at least one entry.
    pub(crate) fn new(corpus: &'a [Vec<u8>], seed: u64) -> Self {
        Self { corpus, rng: Rng::with_seed(seed) }
    }

    pub(crate) fn next(&mut self) -> Vec<u8> {
        let mut input = self.entry().to_vec();
        for _ in 0..self.rng.usize(1..6) {
            self.damage(&mut input);
        }
        input.truncate(INPUT_BYTES);
        input
    }

    fn entry(&mut self) -> &'a [u8] {
        &self.corpus[self.rng.usize(..self.corpus.len())]
    }

    fn damage(&mut self, input: &mut Vec<u8>) {
        let piece = self.piece(input.len());
        match self.rng.u8(..8) {
            0 if !piece.is_empty() => input[piece.start] ^= 1 << self.rng.u8(..8),
            1 if !piece.is_empty() => input[piece.start] = self.byte(),
            2 => {
                let byte = self.byte();
                input.insert(piece.start, byte);
            }
            3 => drop(input.drain(piece)),
            4 => input.truncate(piece.start),
            5 => {
                let again = input[piece].to_vec();
                let at = self.rng.usize(..=input.len());
                input.splice(at..at, again);
            }
            6 => {
                let other = self.entry();
                let theirs = self.piece(other.len());
                input.splice(piece, other[theirs].iter().copied());
            }
            // Many of one byte: lengths around a limit.
            _ => {
                let (byte, many) = (self.byte(), self.rng.usize(1..300));
                input.splice(piece.start..piece.start, std::iter::repeat_n(byte, many));
            }
        }
    }

    /// Some stretch of `len` bytes, seldom a long one.
    fn piece(&mut self, len: usize) -> std::ops::Range<usize> {
        let start = self.rng.usize(..=len);
        let most = if self.rng.u8(..4) == 0 { len } else { 8 };
        start..len.min(start + self.rng.usize(..=most))
    }

    /// Any byte, often one at an edge.
    fn byte(&mut self) -> u8 {
        const EDGES: [u8; 12] = [0, 1, 9, 10, 0x20, 0x2a, 0x3a, 0x7e, 0x7f, 0x80, 0xfe, 0xff];
        if self.rng.bool() { EDGES[self.rng.usize(..EDGES.len())] } else { self.rng.u8(..) }
    }
}
