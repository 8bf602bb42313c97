//! Identify Controller, CNS 01h, 4096 bytes (Base 2.3 clause 5.2.13.2.1, figure 328).

use super::bytes::{get, get16, get32, get64, need, need_mut, put, put16, put32, put64};
use super::error::{CodecError, Result};
use super::identify::{IDENTIFY_LEN, ascii_text};
use super::nqn::{NQN_FIELD_LEN, Nqn};
use super::property::Version;

/// OAES, bytes 92–95: asynchronous events that the controller can send.
pub mod oaes {
    /// Attached Namespace Attribute Notices.
    pub const NAMESPACE_ATTRIBUTE: u32 = 1 << 8;
    /// Asymmetric Namespace Access Change Notices.
    pub const ANA_CHANGE: u32 = 1 << 11;
    /// Cross-Controller Reset Completed Notices (TP8028).
    pub const CCR_COMPLETED: u32 = 1 << 20;
}

/// CTRATT, bytes 96–99: controller attributes.
pub mod ctratt {
    /// HIDS: 128-bit host identifiers.
    pub const HOST_ID_128: u32 = 1 << 0;
    /// TBKAS: Traffic Based Keep Alive. Any command in a period counts as a Keep Alive.
    pub const TBKAS: u32 = 1 << 6;
    /// ELBAS: extended LBA formats.
    pub const ELBAS: u32 = 1 << 15;
}

/// CMIC, byte 76: multi-path capabilities.
pub mod cmic {
    /// The subsystem can have several ports.
    pub const MULTI_PORT: u8 = 1 << 0;
    /// The subsystem can have several controllers.
    pub const MULTI_CONTROLLER: u8 = 1 << 1;
    /// Asymmetric Namespace Access is reported.
    pub const ANA: u8 = 1 << 3;
}

/// ONCS, bytes 520–521: optional NVM commands.
pub mod oncs {
    /// Compare.
    pub const COMPARE: u16 = 1 << 0;
    /// Write Uncorrectable.
    pub const WRITE_UNCORRECTABLE: u16 = 1 << 1;
    /// Dataset Management.
    pub const DATASET_MANAGEMENT: u16 = 1 << 2;
    /// Write Zeroes.
    pub const WRITE_ZEROES: u16 = 1 << 3;
    /// Reservations.
    pub const RESERVATIONS: u16 = 1 << 5;
    /// Verify.
    pub const VERIFY: u16 = 1 << 7;
    /// Copy.
    pub const COPY: u16 = 1 << 8;
}

/// ANACAP, byte 343.
pub mod anacap {
    /// Bits 4:0: all five states can be reported.
    pub const ALL_STATES: u8 = 0x1f;
    /// The ANAGRPID of a namespace does not change while it is attached.
    pub const STATIC_GROUP: u8 = 1 << 6;
}

/// SGLS, bytes 536–539.
pub mod sgls {
    /// Bits 1:0 = 01b: SGLs, no alignment needed.
    pub const SUPPORTED: u32 = 1;
    /// SAOS: an address may be an offset (in-capsule data).
    pub const OFFSET: u32 = 1 << 20;
    /// Transport SGL Data Block descriptor.
    pub const TRANSPORT: u32 = 1 << 21;
}

/// FUSES bit 0, bytes 522–523: fused Compare and Write.
pub const FUSES_COMPARE_AND_WRITE: u16 = 1;
/// VWC bit 0, byte 525: there is a volatile write cache.
pub const VWC_PRESENT: u8 = 1;
/// VWC bits 2:1 = 11b: Flush with NSID FFFFFFFFh is supported.
pub const VWC_FLUSH_ALL: u8 = 3 << 1;

/// The fields of Identify Controller that we use; the rest is emitted as zero.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentifyController {
    /// Bytes 0–1. PCI vendor identifier; 0 over fabrics is usual.
    pub vid: u16,
    /// Bytes 4–23. Serial number, ASCII padded with spaces.
    pub sn: [u8; 20],
    /// Bytes 24–63. Model number, ASCII padded with spaces.
    pub mn: [u8; 40],
    /// Bytes 64–71. Firmware revision, ASCII padded with spaces.
    pub fr: [u8; 8],
    /// Byte 76. Multi-path capabilities, see [`cmic`].
    pub cmic: u8,
    /// Byte 77. Maximum data transfer size: `2^n` units of CAP.MPSMIN, 0 no limit.
    pub mdts: u8,
    /// Bytes 78–79. Controller identifier.
    pub cntlid: u16,
    /// Bytes 80–83. Version.
    pub ver: Version,
    /// Bytes 92–95. Asynchronous events, see [`oaes`].
    pub oaes: u32,
    /// Bytes 96–99. Controller attributes, see [`ctratt`].
    pub ctratt: u32,
    /// Byte 111. Controller type: 0 not reported, 1 I/O, 2 Discovery, 3 Administrative.
    pub cntrltype: u8,
    /// Bytes 128–133. CRDT1 to CRDT3: command retry delays in units of 100 ms.
    pub crdt: [u16; 3],
    /// Byte 135. Controller Instance Uniquifier (TP8028): raised each time the controller becomes
    /// ready (CSTS.RDY); 0 not supported.
    pub ciu: u8,
    /// Bytes 136–143. Controller Instance Random Number (TP8028): new each time likewise.
    pub cirn: u64,
    /// Bytes 256–257. Optional Admin commands.
    pub oacs: u16,
    /// Byte 258. Abort command limit, 0-based.
    pub acl: u8,
    /// Byte 259. Asynchronous event request limit, 0-based.
    pub aerl: u8,
    /// Byte 261. Log page attributes.
    pub lpa: u8,
    /// Bytes 320–321. Keep Alive granularity in units of 100 ms; 0 not supported.
    pub kas: u16,
    /// Byte 342. ANA transition time limit in seconds.
    pub anatt: u8,
    /// Byte 343. ANA capabilities, see [`anacap`].
    pub anacap: u8,
    /// Bytes 344–347. Largest ANA group identifier.
    pub anagrpmax: u32,
    /// Bytes 348–351. Number of ANA groups.
    pub nanagrpid: u32,
    /// Bytes 386–387. Command Quiesce Time (TP4129) in milliseconds: the worst case until no
    /// command of a lost association acts any more, counted from the Keep Alive timeout; 0 not
    /// reported.
    pub cqt: u16,
    /// Byte 512. Submission queue entry: minimum `2^n` in 3:0, maximum in 7:4.
    pub sqes: u8,
    /// Byte 513. Completion queue entry: minimum `2^n` in 3:0, maximum in 7:4.
    pub cqes: u8,
    /// Bytes 514–515. Most commands outstanding on a queue; 0 over fabrics is not allowed.
    pub maxcmd: u16,
    /// Bytes 516–519. Largest NSID.
    pub nn: u32,
    /// Bytes 520–521. Optional NVM commands, see [`oncs`].
    pub oncs: u16,
    /// Bytes 522–523. Fused operations, see [`FUSES_COMPARE_AND_WRITE`].
    pub fuses: u16,
    /// Byte 525. Volatile write cache, see [`VWC_PRESENT`].
    pub vwc: u8,
    /// Bytes 526–527. Atomic write unit in blocks, 0-based.
    pub awun: u16,
    /// Bytes 528–529. Atomic write unit under power failure in blocks, 0-based.
    pub awupf: u16,
    /// Bytes 536–539. SGL support, see [`sgls`].
    pub sgls: u32,
    /// Bytes 540–543. Most namespaces there can be; 0 is NN.
    pub mnan: u32,
    /// Bytes 1792–1795. I/O command capsule in units of 16 bytes, at least 4.
    pub ioccsz: u32,
    /// Bytes 1796–1799. I/O response capsule in units of 16 bytes, at least 1.
    pub iorcsz: u32,
    /// Bytes 1800–1801. In-capsule data offset in units of 16 bytes; 0 over TCP.
    pub icdoff: u16,
    /// Byte 1802. Fabrics attributes: bit 0 static controller model.
    pub fcatt: u8,
    /// Byte 1803. Most SGL data block descriptors in a capsule; 0 no limit.
    pub msdbd: u8,
    /// Bytes 1804–1805. Optional Fabrics commands: bit 0 Disconnect.
    pub ofcs: u16,
    /// Byte 1807. Cross-Controller Reset Limit (TP8028): resets that can be in progress at a
    /// time; 0 not supported.
    pub ccrl: u8,
    /// Bytes 768–1023. NVM subsystem name; `None` where the field is empty.
    pub subnqn: Option<Nqn>,
}

impl Default for IdentifyController {
    fn default() -> Self {
        Self::parse(&[0; IDENTIFY_LEN]).expect("all zeros are well formed")
    }
}

impl IdentifyController {
    /// Reads 4096 bytes.
    pub fn parse(buf: &[u8]) -> Result<Self> {
        let b = need::<IDENTIFY_LEN>(buf)?;
        let subnqn = get::<NQN_FIELD_LEN>(b, 768);
        let subnqn = match subnqn[0] {
            0 => None,
            _ => Some(Nqn::parse_field(&subnqn)?),
        };
        Ok(Self {
            vid: get16(b, 0),
            sn: get(b, 4),
            mn: get(b, 24),
            fr: get(b, 64),
            cmic: b[76],
            mdts: b[77],
            cntlid: get16(b, 78),
            ver: Version(get32(b, 80)),
            oaes: get32(b, 92),
            ctratt: get32(b, 96),
            cntrltype: b[111],
            crdt: [get16(b, 128), get16(b, 130), get16(b, 132)],
            ciu: b[135],
            cirn: get64(b, 136),
            oacs: get16(b, 256),
            acl: b[258],
            aerl: b[259],
            lpa: b[261],
            kas: get16(b, 320),
            anatt: b[342],
            anacap: b[343],
            anagrpmax: get32(b, 344),
            nanagrpid: get32(b, 348),
            cqt: get16(b, 386),
            sqes: b[512],
            cqes: b[513],
            maxcmd: get16(b, 514),
            nn: get32(b, 516),
            oncs: get16(b, 520),
            fuses: get16(b, 522),
            vwc: b[525],
            awun: get16(b, 526),
            awupf: get16(b, 528),
            sgls: get32(b, 536),
            mnan: get32(b, 540),
            ioccsz: get32(b, 1792),
            iorcsz: get32(b, 1796),
            icdoff: get16(b, 1800),
            fcatt: b[1802],
            msdbd: b[1803],
            ofcs: get16(b, 1804),
            ccrl: b[1807],
            subnqn,
        })
    }

    /// Writes 4096 bytes.
    pub fn emit(&self, buf: &mut [u8]) -> Result<()> {
        let b = need_mut::<IDENTIFY_LEN>(buf)?;
        put16(b, 0, self.vid);
        put(b, 4, self.sn);
        put(b, 24, self.mn);
        put(b, 64, self.fr);
        b[76] = self.cmic;
        b[77] = self.mdts;
        put16(b, 78, self.cntlid);
        put32(b, 80, self.ver.0);
        put32(b, 92, self.oaes);
        put32(b, 96, self.ctratt);
        b[111] = self.cntrltype;
        put16(b, 128, self.crdt[0]);
        put16(b, 130, self.crdt[1]);
        put16(b, 132, self.crdt[2]);
        b[135] = self.ciu;
        put64(b, 136, self.cirn);
        put16(b, 256, self.oacs);
        b[258] = self.acl;
        b[259] = self.aerl;
        b[261] = self.lpa;
        put16(b, 320, self.kas);
        b[342] = self.anatt;
        b[343] = self.anacap;
        put32(b, 344, self.anagrpmax);
        put32(b, 348, self.nanagrpid);
        put16(b, 386, self.cqt);
        b[512] = self.sqes;
        b[513] = self.cqes;
        put16(b, 514, self.maxcmd);
        put32(b, 516, self.nn);
        put16(b, 520, self.oncs);
        put16(b, 522, self.fuses);
        b[525] = self.vwc;
        put16(b, 526, self.awun);
        put16(b, 528, self.awupf);
        put32(b, 536, self.sgls);
        put32(b, 540, self.mnan);
        put32(b, 1792, self.ioccsz);
        put32(b, 1796, self.iorcsz);
        put16(b, 1800, self.icdoff);
        b[1802] = self.fcatt;
        b[1803] = self.msdbd;
        put16(b, 1804, self.ofcs);
        b[1807] = self.ccrl;
        if let Some(nqn) = &self.subnqn {
            put(b, 768, nqn.to_field());
        }
        Ok(())
    }

    /// SN without padding.
    pub fn serial(&self) -> &str {
        ascii_text(&self.sn)
    }

    /// MN without padding.
    pub fn model(&self) -> &str {
        ascii_text(&self.mn)
    }

    /// Largest data transfer of a command in bytes, `None` where there is no limit. `mpsmin` is
    /// CAP.MPSMIN. A shift that says more than 2 GiB is no limit to us.
    pub const fn mdts_bytes(&self, mpsmin: u8) -> Option<u32> {
        let shift = 12 + mpsmin as u32 + self.mdts as u32;
        if self.mdts == 0 || shift > 31 {
            None
        } else {
            Some(1 << shift)
        }
    }

    /// Most in-capsule data on an I/O queue in bytes: IOCCSZ is in units of 16 bytes and counts the
    /// command's 64. Zero where the controller says nonsense.
    pub const fn in_capsule_bytes(&self) -> u32 {
        self.ioccsz.saturating_sub(4).saturating_mul(16)
    }

    /// Traffic Based Keep Alive.
    pub const fn tbkas(&self) -> bool {
        self.ctratt & ctratt::TBKAS != 0
    }

    /// Cross-Controller Reset can be asked of this controller: CCRL is not 0.
    pub const fn supports_ccr(&self) -> bool {
        self.ccrl != 0
    }

    /// What a fabrics I/O controller has to have, for a host to check before it goes on.
    pub const fn check_io_controller(&self) -> Result<()> {
        if self.cntrltype > 1 {
            // 0 is "not reported" (before 1.4), 1 I/O, 2 Discovery, 3 Administrative.
            return Err(bad("CNTRLTYPE", self.cntrltype as u64));
        }
        if self.ioccsz < 4 {
            return Err(bad("IOCCSZ", self.ioccsz as u64));
        }
        if self.iorcsz < 1 {
            return Err(bad("IORCSZ", self.iorcsz as u64));
        }
        if self.sgls & 3 == 0 {
            return Err(bad("SGLS", self.sgls as u64));
        }
        Ok(())
    }
}

const fn bad(field: &'static str, value: u64) -> CodecError {
    CodecError::BadValue { field, value }
}
