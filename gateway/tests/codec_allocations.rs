//! Does a message that arrives whole cost an allocation? (It must not: invariant I7, and 100,000 connections.)
//!
//! And does a compressed one cost more than the limit?

#![expect(clippy::unwrap_used, reason = "a test panics on what it does not expect")]

mod codec_client;

use carillon_gateway::ws::encode::text_frame;
use carillon_gateway::ws::{Decoder, Deflater, Flow, Incoming, Inflater, Opcode, Violation};
use codec_client::{Message, decode, frame};
use flate2::{Compress, Compression, FlushCompress};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    /// Per thread, so the test harness and other tests do not count.
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
    /// Bytes of the largest since it was last set to 0.
    static LARGEST: Cell<usize> = const { Cell::new(0) };
}

struct Counting;

#[expect(
    unsafe_code,
    reason = "a counting allocator is the only proof; it adds counters to the system's own"
)]
// SAFETY: both methods pass their arguments unchanged to `System`, which upholds the contract; the counters are
// constant-initialised thread locals without destructors, so touching them neither allocates nor unwinds.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        LARGEST.set(LARGEST.get().max(layout.size()));
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: `ptr` came from `alloc` above, that is from `System`, with this layout.
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// What the work answers, and how many allocations it took.
fn counted<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let before = ALLOCATIONS.get();
    let answer = work();
    (answer, ALLOCATIONS.get() - before)
}

/// A text, a binary, a ping and a pong, each whole.
fn four_frames() -> Vec<u8> {
    let long = "ž".repeat(20_000);
    [
        frame(0x81, long.as_bytes(), [1, 2, 3, 4]),
        frame(0x82, &[0; 300], [5, 6, 7, 8]),
        frame(0x89, b"ping", [9; 4]),
        frame(0x8a, b"", [0; 4]),
    ]
    .concat()
}

#[test]
fn i7_whole_frames_are_decoded_without_an_allocation() {
    let mut input = four_frames();
    assert_eq!(decode(&input, [], 1 << 16).messages.len(), 4);
    assert!(matches!(&decode(&input, [], 1 << 16).messages[0], Message::Text(text) if text.len() == 40_000));

    let mut decoder = Decoder::new();
    let mut seen = 0;
    let mut on = |_: Incoming<'_>| {
        seen += 1;
        Flow::Continue
    };
    assert_eq!(counted(|| decoder.feed(&mut input, 1 << 16, None, &mut on).is_ok()), (true, 0));
    assert_eq!(seen, 4);
}

#[test]
fn the_counter_counts_a_cut_frame_and_it_is_freed() {
    let mut input = four_frames();
    let mut decoder = Decoder::new();
    let (start, end) = input.split_at_mut(100);
    let cut = counted(|| decoder.feed(start, 1 << 16, None, &mut |_| Flow::Continue));
    assert_eq!(cut, (Ok(100), 2), "the partial state and its buffer");
    assert!(decoder.held_bytes() > 0);
    decoder.feed(end, 1 << 16, None, &mut |_| Flow::Continue).unwrap();
    assert!(decoder.is_idle());
}

/// A compressed binary frame.
fn compressed(message: &[u8]) -> Vec<u8> {
    let mut state = Compress::new(Compression::best(), false);
    let mut payload = vec![0; message.len() + 64];
    state.compress(message, &mut payload, FlushCompress::Sync).unwrap();
    frame(0xc2, &payload[..state.total_out() as usize - 4], [1, 2, 3, 4])
}

#[test]
fn i7_whole_compressed_frames_are_inflated_without_an_allocation_once_the_buffer_is_there() {
    let mut inflater = Inflater::new();
    let mut decoder = Decoder::new();
    let mut lengths = Vec::with_capacity(3);
    for (message, allowed) in [(&[7; 5000], true), (&[8; 5000], false), (&[9; 5000], false)] {
        let mut input = compressed(message);
        let mut on = |incoming: Incoming<'_>| {
            lengths.extend(matches!(incoming, Incoming::Binary(bytes) if bytes == message).then_some(5000));
            Flow::Continue
        };
        let (fed, allocations) = counted(|| decoder.feed(&mut input, 1 << 16, Some(&mut inflater), &mut on));
        assert!(fed.is_ok() && decoder.is_idle());
        assert_eq!(allocations > 0, allowed, "{allocations}");
    }
    assert_eq!(lengths, [5000; 3]);
}

#[test]
fn a_bomb_costs_no_more_than_the_limit() {
    let limit = 64 * 1024;
    let mut bomb = compressed(&vec![0; 1 << 20]);
    assert!(bomb.len() < 2048);
    let mut inflater = Inflater::new();
    LARGEST.set(0);
    let fed = Decoder::new().feed(&mut bomb, limit, Some(&mut inflater), &mut |_| Flow::Continue);
    assert_eq!(fed, Err(Violation::TooBig));
    // It doubles from 1 KiB, so the last step is the limit itself.
    assert_eq!(LARGEST.get(), limit);
    let mut again = compressed(&vec![0; 1 << 20]);
    let (fed, allocations) =
        counted(|| Decoder::new().feed(&mut again, limit, Some(&mut inflater), &mut |_| Flow::Continue));
    assert_eq!((fed, allocations), (Err(Violation::TooBig), 0));
}

#[test]
fn an_event_is_compressed_in_one_allocation() {
    let mut deflater = Deflater::new();
    let event = b"{\"type\":\"event\"}".repeat(50);
    deflater.frame(Opcode::Text, &event).unwrap();
    let (frame, allocations) = counted(|| deflater.frame(Opcode::Text, &event).unwrap());
    assert!(frame.len() < 100);
    assert_eq!(allocations, 1);
}

#[test]
fn a_shared_frame_is_one_allocation() {
    let body = vec![b'x'; 4000];
    let (frame, allocations) = counted(|| text_frame(&[b"{\"event\":\"", &body, b"\"}"]));
    assert_eq!(frame.len(), 4 + 10 + 4000 + 2);
    assert_eq!(allocations, 1 + DEBUG_CHECK);
}

/// Debug builds join the parts once more to check that they are UTF-8.
const DEBUG_CHECK: usize = cfg!(debug_assertions) as usize;
