//! What the target answers: PDUs that come as a whole, R2Ts, and the ends of tasks.

use super::connection::{Completion, Connection, ConnectionState, Deferred, Event, SENSE_MAX};
use super::failure::Failure;
use super::scsi;
use super::slots::{CommandData, Dir, Owner};
use super::wire::{self, BHS, op};
use crate::base::sg::SgList;

impl Connection {
    /// ExpCmdSN and MaxCmdSN, in every PDU of a target (RFC 7143, 4.2.2.1).
    #[inline]
    pub(super) fn window(&mut self, b: &[u8; BHS]) {
        self.window.update(wire::be32(b, 28), wire::be32(b, 32));
    }

    /// A PDU that came as a whole.
    pub(super) fn whole_pdu(&mut self, b: &[u8; BHS], data: &[u8]) -> Result<(), Failure> {
        let opcode = b[0] & 0x3f;
        let itt = wire::be32(b, 16);
        if self.state == ConnectionState::Login {
            return match opcode {
                op::LOGIN_RESPONSE | op::REJECT => {
                    let mut bytes = b.to_vec();
                    bytes.extend_from_slice(data);
                    self.events.push_back(Event::Login(bytes));
                    Ok(())
                }
                _ => Err(Failure::UnexpectedPdu { opcode }),
            };
        }
        match opcode {
            op::SCSI_RESPONSE => {
                self.window(b);
                self.stat_sn(b)?;
                let Some(ix) = self.slots.named(itt, &self.tx) else {
                    return Err(Failure::UnknownTask { opcode, itt });
                };
                self.answered(ix, b[2], b[3], data)
            }
            op::R2T => {
                self.window(b);
                self.r2t(b, itt)
            }
            op::NOP_IN => {
                self.window(b);
                self.nop_in(b, itt)
            }
            op::TASK_RESPONSE | op::LOGOUT_RESPONSE => {
                self.window(b);
                self.stat_sn(b)?;
                self.control_answered(opcode, itt, b[2])
            }
            op::ASYNC => {
                self.window(b);
                self.stat_sn(b)?;
                let parameters = [wire::be16(b, 38), wire::be16(b, 40), wire::be16(b, 42)];
                let sense = sense_of(data).to_vec();
                self.events.push_back(Event::Async {
                    event: b[36],
                    parameters,
                    sense,
                });
                Ok(())
            }
            op::REJECT => {
                self.window(b);
                self.stat_sn(b)?;
                self.rejected(b[2], data)
            }
            _ => Err(Failure::UnexpectedPdu { opcode }),
        }
    }

    fn r2t(&mut self, b: &[u8; BHS], itt: u32) -> Result<(), Failure> {
        self.counters.r2ts_received += 1;
        let Some(ix) = self.slots.named(itt, &self.tx) else {
            return Err(Failure::UnknownTask {
                opcode: op::R2T,
                itt,
            });
        };
        let (ttt, sn, offset, len) = (
            wire::be32(b, 20),
            wire::be32(b, 36),
            wire::be32(b, 40),
            wire::be32(b, 44),
        );
        let s = self.slots.get_mut(ix);
        if s.dir != Dir::Out {
            return Err(Failure::WrongDirection {
                opcode: op::R2T,
                itt,
            });
        }
        if sn != s.data_sn {
            return Err(Failure::DataSn {
                itt,
                expected: s.data_sn,
                got: sn,
            });
        }
        if len == 0 {
            return Err(Failure::R2tEmpty { itt });
        }
        if len > self.params.max_burst {
            return Err(Failure::R2tTooLong {
                itt,
                len,
                max: self.params.max_burst,
            });
        }
        if offset != s.moved {
            return Err(Failure::DataOffset {
                itt,
                expected: s.moved,
                got: offset,
            });
        }
        if len > s.len - s.moved {
            return Err(Failure::DataRange {
                itt,
                offset,
                len,
                size: s.len,
            });
        }
        if s.r2ts >= self.params.max_r2t {
            return Err(Failure::R2tLimit {
                itt,
                max: self.params.max_r2t,
            });
        }
        s.moved += len;
        s.data_sn += 1;
        self.tx.want(&mut self.slots, ix, ttt, offset, len);
        self.tx.pump(&mut self.slots);
        Ok(())
    }

    /// The answer of a task that `named` has found.
    pub(super) fn answered(
        &mut self,
        ix: u16,
        response: u8,
        status: u8,
        data: &[u8],
    ) -> Result<(), Failure> {
        let itt = self.slots.itt(ix);
        let drained = self.tx.drained(&self.slots, ix);
        let s = self.slots.get_mut(ix);
        if response == 0 && status == 0 && s.dir == Dir::Out && (s.moved != s.len || !drained) {
            return Err(Failure::GoodBeforeData {
                itt,
                asked: s.moved,
                size: s.len,
            });
        }
        let mut completion = Completion {
            status,
            response,
            received: if s.dir == Dir::In { s.moved } else { 0 },
            short: s.dir == Dir::In && s.moved != s.len,
            damaged: s.damaged,
            sense_len: 0,
            sense: [0; SENSE_MAX],
        };
        let sense = sense_of(data);
        let n = sense.len().min(SENSE_MAX);
        completion.sense[..n].copy_from_slice(&sense[..n]);
        completion.sense_len = n as u8;
        if let Some((6, asc @ (0x29 | 0x2f), ascq)) = scsi::parse_sense(&sense[..n]) {
            let (lun, cmd_sn) = (s.lun, s.cmd_sn);
            self.events.push_back(Event::Cleared {
                lun,
                cmd_sn,
                asc,
                ascq,
            });
        }
        if drained {
            self.deliver(ix, completion);
        } else {
            // An error may come before all data was sent; the buffer is still being read (I4).
            s.answered = true;
            self.deferred.push(Deferred { ix, completion });
        }
        Ok(())
    }

    #[inline]
    pub(super) fn deliver(&mut self, ix: u16, completion: Completion) {
        self.counters.completed += 1;
        match self.slots.release(ix) {
            Owner::Io(token) => self.io_done.push_back((token, completion)),
            Owner::Command(c) => {
                let data = match c.data {
                    CommandData::None => SgList::new(),
                    CommandData::In(d) | CommandData::Out(d) => d,
                };
                self.events.push_back(Event::Command {
                    tag: c.tag,
                    completion: Box::new(completion),
                    data,
                });
            }
            Owner::Free => unreachable!("only tasks under way complete"),
        }
    }

    #[cold]
    pub(super) fn deliver_deferred(&mut self) {
        let mut i = 0;
        while i < self.deferred.len() {
            if self.tx.drained(&self.slots, self.deferred[i].ix) {
                let d = self.deferred.swap_remove(i);
                self.deliver(d.ix, d.completion);
            } else {
                i += 1;
            }
        }
    }
}

/// The sense data in a data segment: its length stands before it (RFC 7143, 11.4.7.2).
fn sense_of(data: &[u8]) -> &[u8] {
    match data {
        [a, b, rest @ ..] => {
            let n = usize::from(u16::from_be_bytes([*a, *b]));
            &rest[..n.min(rest.len())]
        }
        _ => &[],
    }
}
