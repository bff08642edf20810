//! Does a message that arrives whole cost an allocation? (It must not: invariant I7, and 100,000 connections.)

mod codec_client;

use carillon_gateway::ws::encode::text_frame;
use carillon_gateway::ws::{Decoder, Flow, Incoming};
use codec_client::{Message, decode, frame};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    /// Per thread, so the test harness and other tests do not count.
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

struct Counting;

#[expect(
    unsafe_code,
    reason = "a counting allocator is the only proof; it adds a counter to the system's own"
)]
// SAFETY: both methods pass their arguments unchanged to `System`, which upholds the contract; the counter is a
// constant-initialised thread local without a destructor, so touching it neither allocates nor unwinds.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
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
    assert_eq!(counted(|| decoder.feed(&mut input, 1 << 16, &mut on).is_ok()), (true, 0));
    assert_eq!(seen, 4);
}

#[test]
fn the_counter_counts_a_cut_frame_and_it_is_freed() {
    let mut input = four_frames();
    let mut decoder = Decoder::new();
    let (start, end) = input.split_at_mut(100);
    let cut = counted(|| decoder.feed(start, 1 << 16, &mut |_| Flow::Continue));
    assert_eq!(cut, (Ok(100), 2), "the partial state and its buffer");
    assert!(decoder.held_bytes() > 0);
    decoder.feed(end, 1 << 16, &mut |_| Flow::Continue).unwrap();
    assert!(decoder.is_idle());
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
