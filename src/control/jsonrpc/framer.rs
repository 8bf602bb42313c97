//! Where the messages of a stream end.
//!
//! A message is an object or an array. To find its end takes brackets and strings only, each byte
//! is looked at once however small the pieces are that it comes in, and whether it is JSON is left
//! to the parser. Once brackets do not match there is no telling where the next message begins, so
//! the stream is of no more use; a message that is balanced and wrong inside spoils only itself.

/// Brackets open at a time at most: what the parser takes.
const DEPTH: usize = 127;

/// Memory kept between messages; what a larger one took is given back.
const KEPT: usize = 64 << 10;

/// Why a stream cannot be read any further.
#[derive(Copy, Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub(super) enum Spoilt {
    #[error("a message is an object or an array; this begins with byte 0x{0:02x}")]
    Begins(u8),
    #[error("a bracket is closed that was not opened")]
    Unbalanced,
    #[error("more than {DEPTH} brackets are open")]
    TooDeep,
    #[error("a message has {0} bytes at most")]
    TooLong(usize),
}

/// Takes a stream in pieces, gives out messages.
#[derive(Debug)]
pub(super) struct Framer {
    buf: Vec<u8>,
    /// Where the next message begins.
    start: usize,
    /// Up to where it has been looked at.
    at: usize,
    /// What closes each open bracket, the innermost last.
    open: Vec<u8>,
    in_string: bool,
    escaped: bool,
    limit: usize,
}

impl Framer {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            buf: Vec::new(),
            start: 0,
            at: 0,
            open: Vec::new(),
            in_string: false,
            escaped: false,
            limit,
        }
    }

    /// The next piece of the stream. Take out all messages before putting in more: then no more
    /// than one unfinished message and one piece are ever held.
    pub(super) fn push(&mut self, piece: &[u8]) {
        self.buf.drain(..self.start);
        self.at -= self.start;
        self.start = 0;
        if self.buf.is_empty() && self.buf.capacity() > KEPT {
            self.buf = Vec::new();
        }
        self.buf.extend_from_slice(piece);
    }

    /// The next complete message.
    ///
    /// # Errors
    /// No message can be found in this stream any more.
    pub(super) fn next(&mut self) -> Result<Option<&[u8]>, Spoilt> {
        while let Some(&byte) = self.buf.get(self.at) {
            if self.open.is_empty() {
                match byte {
                    b'{' => self.open.push(b'}'),
                    b'[' => self.open.push(b']'),
                    b' ' | b'\t' | b'\r' | b'\n' => self.start = self.at + 1,
                    _ => return Err(Spoilt::Begins(byte)),
                }
            } else if self.at - self.start >= self.limit {
                return Err(Spoilt::TooLong(self.limit));
            } else if self.in_string {
                if self.escaped {
                    self.escaped = false;
                } else if byte == b'\\' {
                    self.escaped = true;
                } else if byte == b'"' {
                    self.in_string = false;
                }
            } else {
                self.bracket(byte)?;
            }
            self.at += 1;
            if self.open.is_empty() && self.start < self.at {
                let message = self.start..self.at;
                self.start = self.at;
                return Ok(Some(&self.buf[message]));
            }
        }
        Ok(None)
    }

    fn bracket(&mut self, byte: u8) -> Result<(), Spoilt> {
        match byte {
            b'"' => self.in_string = true,
            b'{' | b'[' if self.open.len() >= DEPTH => return Err(Spoilt::TooDeep),
            b'{' => self.open.push(b'}'),
            b'[' => self.open.push(b']'),
            b'}' | b']' if self.open.pop() != Some(byte) => return Err(Spoilt::Unbalanced),
            _ => {}
        }
        Ok(())
    }

    /// A message has begun and not ended.
    pub(super) fn is_inside(&self) -> bool {
        !self.open.is_empty()
    }
}
