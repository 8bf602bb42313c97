//! What a request on a file takes: one system call or several, the same for io_uring and for the
//! worker thread.
//!
//! ```text
//! Read            read … (end of file: zeros)
//! Write           write …                         FUA: each with RWF_DSYNC
//! Flush           sync
//! WriteZeroes     zero range, else write zeros …  FUA: sync after, or RWF_DSYNC
//! Discard         punch hole, else write zeros …
//! Compare         read into scratch …, compare
//! CompareAndWrite read into scratch …, compare, write …
//! ```

use super::Span;
use crate::base::error::{ErrorKind, IoError};
use crate::base::pool::BufPool;
use crate::base::request::{Op, Token};
use crate::base::sg::SgList;
use crate::sys::blockfile::Zeroing;
use crate::sys::uring_file::{self, Buffer, Call, Outcome};

pub(super) type Job = uring_file::Job<Plan>;

/// Calls in a row that may end as interrupted before the request fails.
const INTERRUPTED_MAX: u16 = 1000;

/// How far a request has come.
#[derive(Copy, Clone, Debug)]
pub(super) struct Plan {
    stage: Stage,
    span: Span,
    /// Bytes of the span that this stage has done.
    done: u64,
    /// Bytes of payload before what is written (COMPARE AND WRITE: the compare half).
    skip: usize,
    /// Durable before it is done.
    durable: bool,
    interrupted: u16,
}

#[derive(Copy, Clone, PartialEq, Eq, Debug)]
enum Stage {
    Read,
    ReadScratch,
    Write,
    WriteZeros,
    Zero(Zeroing),
    Sync,
}

/// What the file has turned out not to know, so that it is asked once.
#[derive(Copy, Clone, Debug, Default)]
pub(super) struct Lacks {
    punch: bool,
    keep: bool,
}

/// What is to be done after a call.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) enum Next {
    Call,
    Done(Result<(), IoError>),
}

/// A job for a request that has been checked.
pub(super) fn begin(token: Token, span: Span, lacks: Lacks, pool: &mut BufPool) -> Job {
    let mut scratch = SgList::new();
    let stage = match token.op {
        Op::Read => Stage::Read,
        Op::Write => Stage::Write,
        Op::Flush => Stage::Sync,
        Op::WriteZeroes if lacks.keep => Stage::WriteZeros,
        Op::WriteZeroes => Stage::Zero(Zeroing::Keep),
        Op::Discard if lacks.punch => Stage::WriteZeros,
        Op::Discard => Stage::Zero(Zeroing::Punch),
        Op::Compare | Op::CompareAndWrite => {
            // No longer than the payload, which is in memory already.
            scratch.push(pool.get(span.len as usize));
            Stage::ReadScratch
        }
    };
    let durable = token.fua && token.op.mutates();
    Job {
        token,
        scratch,
        state: Plan {
            stage,
            span,
            done: 0,
            skip: 0,
            durable,
            interrupted: 0,
        },
    }
}

impl Plan {
    /// The call to make now.
    pub(super) fn call(&self) -> Call {
        let at = self.span.at + self.done;
        let left = self.span.len - self.done;
        // Where payload is concerned its length, a usize, bounds both.
        let (done, len) = (self.done as usize, left as usize);
        match self.stage {
            Stage::Read | Stage::ReadScratch => Call::Read {
                buffer: match self.stage {
                    Stage::Read => Buffer::Payload,
                    _ => Buffer::Scratch,
                },
                skip: done,
                len,
                at,
            },
            Stage::Write => Call::Write {
                skip: self.skip + done,
                len,
                at,
                durable: self.durable,
            },
            Stage::WriteZeros => Call::WriteZeros {
                len: left,
                at,
                durable: self.durable,
            },
            Stage::Zero(how) => Call::Zero { how, len: left, at },
            Stage::Sync => Call::Sync,
        }
    }

    fn enter(&mut self, stage: Stage) -> Next {
        self.stage = stage;
        self.done = 0;
        Next::Call
    }
}

/// Takes the outcome of the call in.
pub(super) fn step(job: &mut Job, outcome: Outcome, lacks: &mut Lacks) -> Next {
    let plan = &mut job.state;
    let n = match outcome {
        Ok(n) => n as u64,
        // Not done at all. ECANCELED: the thread that had handed it to the kernel has ended.
        Err(libc::EINTR | libc::EAGAIN | libc::ECANCELED) if plan.interrupted < INTERRUPTED_MAX => {
            plan.interrupted += 1;
            return Next::Call;
        }
        Err(errno) => return refused(plan, errno, job.token.op, lacks),
    };
    plan.interrupted = 0;
    match plan.stage {
        Stage::Sync => return Next::Done(Ok(())),
        Stage::Zero(_) if plan.durable => return plan.enter(Stage::Sync),
        Stage::Zero(_) => return Next::Done(Ok(())),
        Stage::Read | Stage::ReadScratch if n == 0 => {
            // The file has been cut short: what is not there is zeros.
            let (done, left) = (plan.done as usize, (plan.span.len - plan.done) as usize);
            let buffers = match plan.stage {
                Stage::Read => &mut job.token.data,
                _ => &mut job.scratch,
            };
            buffers.for_each_mut(done, left, |part| part.fill(0));
            plan.done = plan.span.len;
        }
        // A device that takes nothing and says nothing.
        Stage::Write | Stage::WriteZeros if n == 0 => {
            return Next::Done(Err(IoError::new(ErrorKind::Device)));
        }
        Stage::Read | Stage::ReadScratch | Stage::Write | Stage::WriteZeros => plan.done += n,
    }
    assert!(plan.done <= plan.span.len, "no more is done than asked");
    if plan.done < plan.span.len {
        return Next::Call;
    }
    if plan.stage != Stage::ReadScratch {
        return Next::Done(Ok(()));
    }
    if !same(job) {
        return Next::Done(Err(IoError::new(ErrorKind::Miscompare)));
    }
    if job.token.op == Op::CompareAndWrite {
        job.state.skip = job.state.span.len as usize;
        return job.state.enter(Stage::Write);
    }
    Next::Done(Ok(()))
}

/// Whether what was read equals the payload that it is compared with.
fn same(job: &Job) -> bool {
    let scratch = &job.scratch.segments()[0];
    let (mut at, mut same) = (0, true);
    job.token.data.for_each(0, scratch.len(), |part| {
        same = same && scratch.as_slice()[at..at + part.len()] == *part;
        at += part.len();
    });
    same
}

/// A call has failed for good: another way to the same end, or the request's error.
fn refused(plan: &mut Plan, errno: i32, op: Op, lacks: &mut Lacks) -> Next {
    if let Stage::Zero(how) = plan.stage
        && matches!(errno, libc::EOPNOTSUPP | libc::ENOSYS | libc::EINVAL)
    {
        match how {
            Zeroing::Punch => lacks.punch = true,
            Zeroing::Keep => lacks.keep = true,
        }
        return plan.enter(Stage::WriteZeros);
    }
    let kind = match errno {
        libc::EIO | libc::EILSEQ | libc::ENODATA | libc::EUCLEAN => ErrorKind::Medium,
        libc::ENOSPC | libc::EDQUOT | libc::EFBIG => ErrorKind::NoSpace,
        libc::EROFS | libc::EPERM | libc::EBADF if op.mutates() => ErrorKind::WriteProtected,
        libc::EBADE => ErrorKind::ReservationConflict,
        libc::EINVAL => ErrorKind::Invalid,
        libc::EOPNOTSUPP => ErrorKind::Unsupported,
        libc::ETIMEDOUT => ErrorKind::TimedOut,
        _ => ErrorKind::Device,
    };
    Next::Done(Err(IoError::with_raw(kind, errno.unsigned_abs())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::request::Request;
    use crate::sys::iobuf::IoBuf;

    const SPAN: Span = Span { at: 512, len: 1024 };

    fn job(op: Op, data: &[u8]) -> Job {
        let mut token = Request::new();
        token.op = op;
        token.data = IoBuf::from(data).into();
        begin(token, SPAN, Lacks::default(), &mut BufPool::default())
    }

    #[test]
    fn a_short_transfer_is_continued_where_it_stopped() {
        let mut j = job(Op::Write, &[1; 1024]);
        let mut lacks = Lacks::default();
        assert_eq!(step(&mut j, Ok(100), &mut lacks), Next::Call);
        let rest = Call::Write {
            skip: 100,
            len: 924,
            at: 612,
            durable: false,
        };
        assert_eq!(j.state.call(), rest);
        assert_eq!(step(&mut j, Err(libc::EINTR), &mut lacks), Next::Call);
        assert_eq!(j.state.call(), rest, "an interrupted call is made again");
        assert_eq!(step(&mut j, Ok(924), &mut lacks), Next::Done(Ok(())));
    }

    #[test]
    fn beyond_the_end_of_the_file_are_zeros() {
        let mut j = job(Op::Read, &[9; 1024]);
        let mut lacks = Lacks::default();
        assert_eq!(step(&mut j, Ok(1000), &mut lacks), Next::Call);
        assert_eq!(step(&mut j, Ok(0), &mut lacks), Next::Done(Ok(())));
        let data = j.token.data.segments()[0].as_slice();
        assert!(data[..1000].iter().all(|b| *b == 9));
        assert!(data[1000..].iter().all(|b| *b == 0));
    }

    #[test]
    fn a_file_without_holes_gets_zeros_written_and_is_not_asked_again() {
        let mut lacks = Lacks::default();
        let mut j = job(Op::Discard, &[]);
        assert!(matches!(j.state.call(), Call::Zero { .. }));
        assert_eq!(step(&mut j, Err(libc::EOPNOTSUPP), &mut lacks), Next::Call);
        assert!(matches!(j.state.call(), Call::WriteZeros { len: 1024, .. }));
        let next = begin(j.token, SPAN, lacks, &mut BufPool::default());
        assert!(matches!(next.state.call(), Call::WriteZeros { .. }));
    }

    #[test]
    fn durable_zeroing_is_followed_by_a_sync() {
        let mut token = Request::new();
        token.op = Op::WriteZeroes;
        token.fua = true;
        let mut lacks = Lacks::default();
        let mut j = begin(token, SPAN, lacks, &mut BufPool::default());
        assert_eq!(step(&mut j, Ok(0), &mut lacks), Next::Call);
        assert_eq!(j.state.call(), Call::Sync);
        assert_eq!(step(&mut j, Ok(0), &mut lacks), Next::Done(Ok(())));
    }

    #[test]
    fn nothing_is_written_after_a_miscompare() {
        let mut j = job(Op::CompareAndWrite, &[3; 2048]);
        let mut lacks = Lacks::default();
        let bad = Err(IoError::new(ErrorKind::Miscompare));
        // The scratch is zeros: other data than the payload.
        assert_eq!(step(&mut j, Ok(1024), &mut lacks), Next::Done(bad));
    }

    #[test]
    fn errors_keep_the_errno() {
        let mut lacks = Lacks::default();
        for (errno, op, kind) in [
            (libc::EIO, Op::Read, ErrorKind::Medium),
            (libc::ENOSPC, Op::Write, ErrorKind::NoSpace),
            (libc::EBADF, Op::Write, ErrorKind::WriteProtected),
            (libc::EBADF, Op::Read, ErrorKind::Device),
        ] {
            let mut j = job(op, &[0; 1024]);
            let error = IoError::with_raw(kind, errno as u32);
            assert_eq!(step(&mut j, Err(errno), &mut lacks), Next::Done(Err(error)));
        }
    }
}
