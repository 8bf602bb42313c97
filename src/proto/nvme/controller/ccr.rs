//! Cross-Controller Reset (TP8028): what a controller was asked to end, and its log.

use crate::proto::nvme::CrossControllerReset;
use crate::proto::nvme::ccr::{
    CCR_LOG_ENTRIES_MAX, CCR_LOG_LEN, CcrLogEntry, CcrStatus, emit_ccr_log,
};

/// CCRF: the request was validated, and a controller level reset was initiated.
const FLAGS: u8 = 0x03;

#[derive(Copy, Clone, Debug)]
struct Item {
    which: CrossControllerReset,
    done: bool,
}

/// Resets that were not done at once.
#[derive(Debug, Default)]
pub(super) struct ResetLog {
    items: Vec<Item>,
}

impl ResetLog {
    pub(super) fn is_full(&self) -> bool {
        self.items.len() >= CCR_LOG_ENTRIES_MAX
    }

    pub(super) fn in_progress(&self) -> usize {
        self.items.iter().filter(|i| !i.done).count()
    }

    pub(super) fn names(&self, which: &CrossControllerReset) -> bool {
        self.items.iter().any(|i| i.which == *which && !i.done)
    }

    pub(super) fn begin(&mut self, which: CrossControllerReset) {
        self.items.push(Item { which, done: false });
    }

    /// The instance is gone; true when a reset of it was in progress.
    pub(super) fn finish(&mut self, which: &CrossControllerReset) -> bool {
        let mut found = false;
        for i in self.items.iter_mut().filter(|i| i.which == *which) {
            found |= !i.done;
            i.done = true;
        }
        found
    }

    pub(super) fn remove_completed(&mut self) {
        self.items.retain(|i| !i.done);
    }

    pub(super) fn clear(&mut self) {
        self.items.clear();
    }

    pub(super) fn page(&self, out: &mut Vec<u8>) {
        let entries: Vec<CcrLogEntry> = self
            .items
            .iter()
            .map(|i| CcrLogEntry {
                icid: i.which.icid,
                ciu: i.which.ciu,
                acid: 0,
                status: if i.done {
                    CcrStatus::Successful
                } else {
                    CcrStatus::InProgress
                },
                flags: FLAGS,
            })
            .collect();
        out.resize(CCR_LOG_LEN, 0);
        // The page has room for as many entries as `is_full` allows.
        let _ = emit_ccr_log(out, &entries);
    }
}
