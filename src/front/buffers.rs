//! Payload buffers of a target, and the bound on them.

use crate::base::pool::BufPool;
use crate::base::sg::SgList;
use crate::sys::iobuf::IoBuf;

/// Lists kept for reuse at most.
const LISTS_MAX: usize = 4096;

#[derive(Debug)]
pub(in crate::front) struct Buffers {
    pool: BufPool,
    /// Empty lists that keep their room, so that a command allocates nothing.
    lists: Vec<SgList>,
    lent: usize,
    max: usize,
    /// Payload given back, waiting to be taken apart.
    pub(in crate::front) returned: Vec<SgList>,
}

/// What a buffer of this length takes of the pool.
const fn cost(len: usize) -> usize {
    let len = if len < 4096 { 4096 } else { len };
    len.next_power_of_two()
}

impl Buffers {
    pub(in crate::front) fn new(max: usize) -> Self {
        Self {
            pool: BufPool::default(),
            lists: Vec::new(),
            lent: 0,
            max,
            returned: Vec::new(),
        }
    }

    /// A list with one buffer of `len` bytes; none when too much is lent already. One is always
    /// given while nothing is lent, so that the largest command can be done at all.
    #[inline]
    pub(in crate::front) fn get(&mut self, len: usize) -> Option<SgList> {
        if self.lent + cost(len) > self.max && self.lent > 0 {
            return None;
        }
        Some(self.get_now(len))
    }

    /// The same without the bound, for what is bounded otherwise (capsule data, admin commands).
    pub(in crate::front) fn get_now(&mut self, len: usize) -> SgList {
        self.lent += cost(len);
        let mut list = self.list();
        list.push(self.pool.get(len));
        list
    }

    /// An empty list with room.
    #[inline]
    pub(in crate::front) fn list(&mut self) -> SgList {
        self.lists.pop().unwrap_or_default()
    }

    #[inline]
    pub(in crate::front) fn put_list(&mut self, list: SgList) {
        debug_assert!(list.is_empty());
        if self.lists.len() < LISTS_MAX {
            self.lists.push(list);
        }
    }

    /// Takes payload back.
    #[inline]
    pub(in crate::front) fn put(&mut self, mut data: SgList) {
        while let Some(buf) = data.pop() {
            self.put_buf(buf);
        }
        self.put_list(data);
    }

    fn put_buf(&mut self, buf: IoBuf) {
        self.lent -= cost(buf.len()).min(self.lent);
        self.pool.put(buf);
    }

    /// Takes apart what was put on `returned`.
    pub(in crate::front) fn take_returned(&mut self) {
        while let Some(data) = self.returned.pop() {
            self.put(data);
        }
    }

    /// Bytes lent to commands.
    pub(in crate::front) fn lent(&self) -> usize {
        self.lent
    }
}
