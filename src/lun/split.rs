//! Requests larger than one command: a parent waits for its parts.

use crate::base::error::IoError;
use crate::base::request::Token;

/// A request whose parts are under way.
#[derive(Debug)]
struct Parent {
    token: Token,
    left: u32,
    /// The first error any part met.
    error: Option<IoError>,
}

/// The parents of one channel.
#[derive(Debug, Default)]
pub struct Splits {
    parents: Vec<Option<Parent>>,
    free: Vec<u32>,
}

impl Splits {
    /// Keeps a parent until `parts` parts have ended; the index goes into each part.
    pub fn open(&mut self, token: Token, parts: u32) -> u32 {
        assert!(parts > 1, "a request in one part is not split");
        let parent = Some(Parent {
            token,
            left: parts,
            error: None,
        });
        if let Some(ix) = self.free.pop() {
            self.parents[ix as usize] = parent;
            ix
        } else {
            self.parents.push(parent);
            (self.parents.len() - 1) as u32
        }
    }

    pub fn parent(&self, ix: u32) -> &Token {
        &self.parents[ix as usize]
            .as_ref()
            .expect("a part names a live parent")
            .token
    }

    /// A part has ended; the parent, with the first error met, when it was the last one.
    pub fn part_done(
        &mut self,
        ix: u32,
        result: Result<(), IoError>,
    ) -> Option<(Token, Result<(), IoError>)> {
        let slot = &mut self.parents[ix as usize];
        let parent = slot.as_mut().expect("a part ends once, before its parent");
        parent.error = parent.error.or(result.err());
        parent.left -= 1;
        if parent.left > 0 {
            return None;
        }
        let parent = slot.take()?;
        self.free.push(ix);
        Some((parent.token, parent.error.map_or(Ok(()), Err)))
    }

    pub fn is_empty(&self) -> bool {
        self.parents.len() == self.free.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::error::ErrorKind;
    use crate::base::request::Request;

    #[test]
    fn a_parent_ends_with_its_last_part_and_the_first_error() {
        let mut s = Splits::default();
        let ix = s.open(Request::new(), 3);
        let first = IoError::new(ErrorKind::Medium);
        assert!(s.part_done(ix, Ok(())).is_none());
        assert!(s.part_done(ix, Err(first)).is_none());
        let (_, result) = s
            .part_done(ix, Err(IoError::new(ErrorKind::NoSpace)))
            .unwrap();
        assert_eq!(result, Err(first));
        assert!(s.is_empty());
    }
}
