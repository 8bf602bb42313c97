//! INQUIRY and its vital product data pages.

use super::{
    COMPARE_AND_WRITE_BLOCKS, LogicalUnit, TRANSFER_MAX, UNMAP_BLOCKS, UNMAP_DESCRIPTORS, View,
};
use crate::proto::scsi::{
    Association, BlockLimits, DesignatorKind, Inquiry, Provisioning, Sense, put_designator,
    vpd_page,
};

const VENDOR: &str = "UMPIO";
const PRODUCT: &str = "umpio disk";
/// Pages, in the order of page 00h.
const PAGES: [u8; 6] = [0x00, 0x80, 0x83, 0xb0, 0xb1, 0xb2];

impl LogicalUnit {
    pub(super) fn inquiry(&self, out: &mut Vec<u8>) {
        Inquiry {
            qualifier: 0,
            device_type: 0,
            // SPC-4.
            version: 6,
            tpgs: 3,
            multi_port: true,
            vendor: VENDOR.to_owned(),
            product: PRODUCT.to_owned(),
            revision: env!("CARGO_PKG_VERSION").chars().take(4).collect(),
        }
        .emit(out);
    }

    pub(super) fn page(&self, code: u8, view: &View<'_>, out: &mut Vec<u8>) -> Result<(), Sense> {
        match code {
            0x00 => vpd_page(0, code, out, |b| b.extend_from_slice(&PAGES)),
            0x80 => vpd_page(0, code, out, |b| {
                b.extend_from_slice(self.serial.as_bytes());
            }),
            0x83 => vpd_page(0, code, out, |b| self.designators(view, b)),
            0xb0 => vpd_page(0, code, out, |b| self.limits().emit(b)),
            0xb1 => vpd_page(0, code, out, |b| {
                // Rotation rate 1: not a rotating medium.
                b.extend_from_slice(&[0, 1]);
                b.resize(b.len() + 58, 0);
            }),
            0xb2 => vpd_page(0, code, out, |b| {
                let unmap = self.geometry.as_ref().is_some_and(|g| g.discard);
                Provisioning {
                    unmap,
                    write_same16: unmap,
                    write_same10: unmap,
                    thin: unmap,
                    ..Provisioning::default()
                }
                .emit(b);
            }),
            _ => return Err(Sense::cdb_field(2)),
        }
        Ok(())
    }

    fn designators(&self, view: &View<'_>, out: &mut Vec<u8>) {
        let lu = Association::LogicalUnit;
        let id = &self.identity;
        if let Some(naa) = id.naa.as_ref().filter(|n| matches!(n.len(), 8 | 16)) {
            put_designator(out, lu, DesignatorKind::Naa, naa);
        }
        if let Some(nguid) = &id.nguid {
            put_designator(out, lu, DesignatorKind::Eui64, nguid);
        }
        if let Some(eui64) = &id.eui64 {
            put_designator(out, lu, DesignatorKind::Eui64, eui64);
        }
        if let Some(uuid) = &id.uuid {
            put_designator(out, lu, DesignatorKind::Uuid, uuid);
            // Initiators that know no UUID (Windows, Linux before 5.x) need one of type 2 or 3:
            // a locally assigned NAA made of it, which no NGUID is taken for.
            if id.naa.is_none() && id.nguid.is_none() && id.eui64.is_none() {
                let mut naa = [0; 8];
                for (i, b) in uuid.iter().enumerate() {
                    naa[i % 8] ^= b;
                }
                naa[0] = 0x30 | naa[0] & 0x0f;
                put_designator(out, lu, DesignatorKind::Naa, &naa);
            }
        }
        let t10 = format!("{VENDOR:<8}{}", self.serial);
        put_designator(out, lu, DesignatorKind::T10Vendor, t10.as_bytes());
        let port = Association::TargetPort;
        let [hi, lo] = view.port.to_be_bytes();
        put_designator(out, port, DesignatorKind::RelativePort, &[0, 0, hi, lo]);
        let [hi, lo] = view.group.to_be_bytes();
        put_designator(out, port, DesignatorKind::PortGroup, &[0, 0, hi, lo]);
        let name = format!("{},t,0x{:04x}", view.target, view.group);
        put_designator(out, port, DesignatorKind::ScsiName, name.as_bytes());
    }

    pub(super) fn limits(&self) -> BlockLimits {
        let Some(g) = &self.geometry else {
            return BlockLimits::default();
        };
        let transfer = (TRANSFER_MAX / g.block_size).max(1);
        BlockLimits {
            write_same_non_zero: true,
            compare_and_write: if g.compare_and_write {
                self.compare_max() as u8
            } else {
                0
            },
            granularity: 1,
            transfer_max: transfer,
            transfer_optimal: g.max_transfer_blocks.min(transfer),
            unmap_max: if g.discard { UNMAP_BLOCKS } else { 0 },
            unmap_descriptors: if g.discard { UNMAP_DESCRIPTORS } else { 0 },
            unmap_granularity: u32::from(g.discard),
            write_same_max: u64::from(transfer),
        }
    }

    /// Blocks of one COMPARE AND WRITE: what goes down in one piece, twice.
    pub(super) fn compare_max(&self) -> u32 {
        let max = self.geometry.as_ref().map_or(1, |g| g.max_transfer_blocks);
        (max / 2).clamp(1, COMPARE_AND_WRITE_BLOCKS)
    }
}
