//! How is a message compressed once for all its readers, and how is one of a client's read without being blown up by
//! it (RFC 7692 section 7.2)?
//!
//! Without context takeover every message is a deflate stream of its own, so the two states here belong to a shard or
//! a feed, not to a connection: they are emptied between two messages, and nothing of one message, or one client, can
//! be reached from another. A message of a client that refers back to its earlier ones is read with its own window.

use super::encode::Header;
use super::frame::Opcode;
use super::violation::Violation;
use super::window::Window;
use bytes::Bytes;
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

/// What a sync flush ends with. It is cut off before sending and put back before inflating.
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];

/// [`TAIL`], then an empty final block. A stream that stands between two blocks ends with it; one that was cut within
/// a block does not, and is found out.
const TAIL_AND_END: [u8; 9] = [0, 0, 0xff, 0xff, 1, 0, 0, 0xff, 0xff];

/// Most final blocks in a message. One is what the senders of section 7.2.3.4 end it with; each further one begins a deflate
/// stream anew, which costs as much as a window is long.
const MOST_FINAL_BLOCKS: usize = 16;

/// Compresses outgoing messages. Owns 380 KB, allocated once, and a buffer of the size of the largest message so far.
#[derive(Debug)]
pub struct Deflater {
    state: Compress,
    output: Vec<u8>,
}

impl Default for Deflater {
    fn default() -> Self {
        Self::new()
    }
}

impl Deflater {
    /// zlib's level. Measured on JSON events with zlib-rs 0.6 (bytes and time for one event, levels 1 and 6):
    ///
    /// | event    | level 1          | level 6           |
    /// |----------|------------------|-------------------|
    /// | 196 B    | 183 B, 2.7 µs    | 154 B, 7.2 µs     |
    /// | 393 B    | 322 B, 3.4 µs    | 254 B, 9.5 µs     |
    /// | 990 B    | 575 B, 4.4 µs    | 430 B, 14 µs      |
    /// | 3,991 B  | 1,652 B, 10 µs   | 1,099 B, 35 µs    |
    /// | 15,994 B | 5,777 B, 35 µs   | 3,736 B, 156 µs   |
    ///
    /// The time is spent once for an event, the bytes once for each of its readers: 6 sends a sixth to a third less, for
    /// 5-10 µs more up to 1 KB. Level 2 is no way between: up to 1 KB it takes nine tenths of that time.
    const LEVEL: u32 = 6;

    /// A compressor with a 15-bit window.
    pub fn new() -> Self {
        Self { state: Compress::new(Compression::new(Self::LEVEL), false), output: Vec::new() }
    }

    /// A whole frame that carries `payload` compressed, to be shared by every socket whose
    /// [`Deflate::takes`](super::Deflate::takes) says so. `None` if compression does not make it shorter: send the
    /// plain frame then. One allocation, of exactly the frame's size. `opcode` is text or binary (checked in debug
    /// builds): control frames are never compressed.
    pub fn frame(&mut self, opcode: Opcode, payload: &[u8]) -> Option<Bytes> {
        debug_assert!(matches!(opcode, Opcode::Text | Opcode::Binary), "{opcode:?} is not compressed");
        // With less room than this left over the frame would not be shorter, so more is never needed.
        let room = payload.len() + TAIL.len();
        if self.output.len() < room {
            self.output.resize(room, 0);
        }
        self.state.reset();
        self.state.compress(payload, &mut self.output[..room], FlushCompress::Sync).ok()?;
        let written = usize::try_from(self.state.total_out()).ok()?;
        // A full buffer means that the flush may not be through.
        if written == room {
            return None;
        }
        let body = self.output[..written].strip_suffix(&TAIL)?;
        let header = Header::compressed(opcode, body.len());
        let mut frame = Vec::with_capacity(header.as_slice().len() + body.len());
        frame.extend_from_slice(header.as_slice());
        frame.extend_from_slice(body);
        Some(frame.into())
    }
}

/// Inflates messages of clients. Owns 48 KB and a buffer that grows to the largest message so far, never above
/// the limit in force.
#[derive(Debug)]
pub struct Inflater {
    state: Decompress,
    output: Vec<u8>,
}

impl Default for Inflater {
    fn default() -> Self {
        Self::new()
    }
}

impl Inflater {
    /// The buffer's first size; it doubles from there.
    const FIRST_OUTPUT: usize = 1024;

    /// A decompressor for every window a client may use.
    pub fn new() -> Self {
        Self { state: Decompress::new(false), output: Vec::new() }
    }

    /// The message in a compressed payload of at most `limit` bytes uncompressed.
    ///
    /// # Errors
    /// [`Violation::TooBig`] as soon as byte `limit + 1` appears, [`Violation::BadDeflate`] when it is no deflate
    /// data, does not end where the payload ends, or has more than [`MOST_FINAL_BLOCKS`].
    /// `window` is there for a client that may refer back to its earlier messages, and has this one afterwards.
    pub(super) fn message(
        &mut self,
        payload: &[u8],
        limit: usize,
        window: Option<&mut Window>,
    ) -> Result<&[u8], Violation> {
        let earlier = window.as_deref().map(Window::as_slice);
        self.begin(earlier)?;
        let mut written = 0;
        // Normally the payload ends within a flush, of which the tail is missing. Senders that cannot flush end it
        // with a final block, before or at its last byte (section 7.2.3.4); both are read.
        let whole = self.run(payload, &mut written, limit, earlier)? == Stand::Ended
            || self.run(&TAIL_AND_END, &mut written, limit, earlier)? == Stand::Ended;
        if !whole {
            return Err(Violation::BadDeflate);
        }
        let message = &self.output[..written];
        if let Some(window) = window {
            window.push(message);
        }
        Ok(message)
    }

    /// A new deflate stream, which may refer back to this.
    fn begin(&mut self, earlier: Option<&[u8]>) -> Result<(), Violation> {
        self.state.reset(false);
        match earlier {
            Some(earlier) if !earlier.is_empty() => {
                self.state.set_dictionary(earlier).map(drop).map_err(|_| Violation::BadDeflate)
            }
            _ => Ok(()),
        }
    }

    /// Inflates all of `input` behind the first `written` bytes of output.
    fn run(
        &mut self,
        mut input: &[u8],
        written: &mut usize,
        limit: usize,
        earlier: Option<&[u8]>,
    ) -> Result<Stand, Violation> {
        let mut final_blocks = 0;
        loop {
            self.make_room(*written, limit);
            // At the limit a single byte of room tells whether there is more.
            let mut beyond = [0];
            let full = *written >= limit;
            let end = self.output.len().min(limit);
            let room = if full { &mut beyond[..] } else { &mut self.output[*written..end] };
            let (read_before, made_before) = (self.state.total_in(), self.state.total_out());
            let status = self.state.decompress(input, room, FlushDecompress::Sync);
            let status = status.map_err(|_| Violation::BadDeflate)?;
            let read = (self.state.total_in() - read_before) as usize;
            let made = (self.state.total_out() - made_before) as usize;
            if full && made > 0 {
                return Err(Violation::TooBig);
            }
            let has_room = made < room.len();
            *written += made;
            input = &input[read..];
            final_blocks += usize::from(status == Status::StreamEnd);
            if final_blocks > MOST_FINAL_BLOCKS {
                return Err(Violation::BadDeflate);
            }
            match status {
                Status::StreamEnd if input.is_empty() => return Ok(Stand::Ended),
                // Behind a final block further ones may follow, and refer back to what was before it.
                Status::StreamEnd => {
                    let before = earlier.map(|earlier| {
                        let mut window = Window::default();
                        window.push(earlier);
                        window.push(&self.output[..*written]);
                        window
                    });
                    self.begin(before.as_ref().map(Window::as_slice))?;
                }
                Status::Ok | Status::BufError if has_room && input.is_empty() => return Ok(Stand::Open),
                Status::Ok | Status::BufError if has_room && read == 0 => return Err(Violation::BadDeflate),
                Status::Ok | Status::BufError => {}
            }
        }
    }

    /// Lets the output grow if it is full, by doubling and up to `limit`.
    fn make_room(&mut self, written: usize, limit: usize) {
        let len = self.output.len();
        if written == len && len < limit {
            let target = (2 * len).max(Self::FIRST_OUTPUT).min(limit);
            self.output.reserve_exact(target - len);
            self.output.resize(target, 0);
        }
    }
}

/// Where a deflate stream stands when its input is used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stand {
    /// More may follow.
    Open,
    /// Its final block has ended.
    Ended,
}
