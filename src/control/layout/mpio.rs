//! Structures of mpiowmi.h and mpiodisk.h that the MPIO driver itself answers with.

use super::buffer::{Buffer, LayoutError, read, read_array};
use super::{Field, WmiText, c_struct};

c_struct! {
    /// MPIO_DRIVE_INFO.
    MpioDriveInfo, 388 / 4 {
        number_paths: u32 = 0,
        name: WmiText = 4,
        serial_number: WmiText = 132,
        dsm_name: WmiText = 260,
    }
}

c_struct! {
    /// SCSI_ADDR.
    ScsiAddr, 4 / 1 {
        port_number: u8 = 0,
        scsi_path_id: u8 = 1,
        target_id: u8 = 2,
        lun: u8 = 3,
    }
}

c_struct! {
    /// PDO_INFORMATION.
    PdoInformation, 64 / 8 {
        scsi_address: ScsiAddr = 0,
        device_state: u32 = 4,
        path_identifier: u64 = 8,
        identifier_type: u32 = 16,
        identifier_length: u32 = 20,
        identifier: [u8; 32] = 24,
        pad: [u8; 4] = 56,
    }
}

c_struct! {
    /// Head of MPIO_GET_DESCRIPTOR; PDO_INFORMATION follows at [`DESCRIPTOR_ARRAY`].
    MpioDescriptorHeader, 132 / 4 {
        number_pdos: u32 = 0,
        device_name: WmiText = 4,
    }
}

/// Offset of the array in MPIO_GET_DESCRIPTOR: 132, made a multiple of 8.
pub const DESCRIPTOR_ARRAY: usize = 136;

c_struct! {
    /// MPIO_ADAPTER_INFORMATION.
    MpioAdapterInformation, 144 / 8 {
        path_id: u64 = 0,
        bus_number: u8 = 8,
        device_number: u8 = 9,
        function_number: u8 = 10,
        pad: u8 = 11,
        adapter_name: WmiText = 12,
    }
}

c_struct! {
    /// MPIO_CONTROLLER_INFO.
    MpioControllerInfo, 176 / 4 {
        identifier_type: u32 = 0,
        identifier_length: u32 = 4,
        identifier: [u8; 32] = 8,
        controller_state: u32 = 40,
        pad: u32 = 44,
        associated_dsm: WmiText = 48,
    }
}

c_struct! {
    /// DSM_VERSION.
    DsmVersion, 16 / 4 {
        major: u32 = 0,
        minor: u32 = 4,
        product_build: u32 = 8,
        qfe_number: u32 = 12,
    }
}

c_struct! {
    /// DSM_COUNTERS.
    DsmCounters, 32 / 8 {
        path_verify_enabled: u32 = 0,
        path_verification_period: u32 = 4,
        pdo_remove_period: u32 = 8,
        retry_count: u32 = 12,
        retry_interval: u32 = 16,
        reserved32: u32 = 20,
        reserved64: u64 = 24,
    }
}

c_struct! {
    /// DSM_PARAMETERS.
    DsmParameters, 184 / 8 {
        dsm_name: WmiText = 0,
        dsm_context: u64 = 128,
        version: DsmVersion = 136,
        counters: DsmCounters = 152,
    }
}

c_struct! {
    /// IN of MPIO_WMI_METHODS.SetDSMCounters.
    SetDsmCountersIn, 40 / 8 {
        dsm_context: u64 = 0,
        counters: DsmCounters = 8,
    }
}

c_struct! {
    /// MPIO_TIMERS_COUNTERS.
    MpioTimersCounters, 20 / 4 {
        path_verify_enabled: u32 = 0,
        path_verification_period: u32 = 4,
        pdo_remove_period: u32 = 8,
        retry_count: u32 = 12,
        retry_interval: u32 = 16,
    }
}

c_struct! {
    /// MPIO_PATH_HEALTH_CLASS; with one byte of padding more in place of the outstanding requests,
    /// MPIO_DEVINSTANCE_HEALTH_CLASS.
    MpioPathHealth, 80 / 8 {
        path_id: u64 = 0,
        number_reads: u64 = 8,
        number_writes: u64 = 16,
        number_bytes_read: u64 = 24,
        number_bytes_written: u64 = 32,
        number_retries: u64 = 40,
        number_io_errors: u64 = 48,
        /// FILETIME.
        create_time: u64 = 56,
        /// FILETIME.
        fail_time: u64 = 64,
        path_offline: u8 = 72,
        number_reads_wrap: u8 = 73,
        number_writes_wrap: u8 = 74,
        number_bytes_read_wrap: u8 = 75,
        number_bytes_written_wrap: u8 = 76,
        outstanding_requests: u8 = 77,
        pad: [u8; 2] = 78,
    }
}

c_struct! {
    /// MPIO_DISK_HEALTH_CLASS.
    MpioDiskHealth, 208 / 8 {
        name: WmiText = 0,
        number_reads: u64 = 128,
        number_writes: u64 = 136,
        number_bytes_read: u64 = 144,
        number_bytes_written: u64 = 152,
        number_retries: u64 = 160,
        number_io_errors: u64 = 168,
        /// FILETIME.
        create_time: u64 = 176,
        path_failures: u64 = 184,
        /// FILETIME.
        fail_time: u64 = 192,
        device_offline: u8 = 200,
        number_reads_wrap: u8 = 201,
        number_writes_wrap: u8 = 202,
        number_bytes_read_wrap: u8 = 203,
        number_bytes_written_wrap: u8 = 204,
        pad: [u8; 3] = 205,
    }
}

/// A class that is a count and an array: with the array at `at` (4 where its elements need no more,
/// else 8, with a reserved word or padding between).
pub fn encode_counted<T: Field>(at: usize, all: &[T]) -> Vec<u8> {
    let mut out = Buffer::new();
    out.push(&(all.len() as u32));
    out.align(at);
    for one in all {
        out.push(one);
    }
    out.into_bytes()
}

/// Reads such a class.
///
/// # Errors
/// The buffer is too short.
pub fn decode_counted<T: Field>(at: usize, bytes: &[u8]) -> Result<Vec<T>, LayoutError> {
    let count: u32 = read(bytes, 0)?;
    read_array(bytes, at, count)
}

/// MPIO_GET_DESCRIPTOR.
pub fn encode_descriptor(device_name: &WmiText, pdos: &[PdoInformation]) -> Vec<u8> {
    let mut out = Buffer::new();
    out.push(&MpioDescriptorHeader {
        number_pdos: pdos.len() as u32,
        device_name: *device_name,
    });
    out.align(8);
    for pdo in pdos {
        out.push(pdo);
    }
    out.into_bytes()
}

/// Reads one.
///
/// # Errors
/// The buffer is too short.
pub fn decode_descriptor(bytes: &[u8]) -> Result<(WmiText, Vec<PdoInformation>), LayoutError> {
    let head: MpioDescriptorHeader = read(bytes, 0)?;
    let pdos = read_array(bytes, DESCRIPTOR_ARRAY, head.number_pdos)?;
    Ok((head.device_name, pdos))
}

#[cfg(test)]
mod tests {
    use super::super::wmi_text;
    use super::*;

    #[test]
    fn arrays_stand_where_their_alignment_puts_them() {
        let path = MpioPathHealth {
            path_id: 9,
            outstanding_requests: 3,
            ..MpioPathHealth::default()
        };
        let bytes = encode_counted(8, &[path, path]);
        assert_eq!(bytes.len(), 8 + 160);
        assert_eq!(bytes[8], 9);
        assert_eq!(bytes[8 + 77], 3);
        assert_eq!(decode_counted(8, &bytes), Ok(vec![path, path]));
        let drive = MpioDriveInfo {
            number_paths: 4,
            name: wmi_text("MPIO Disk0"),
            ..MpioDriveInfo::default()
        };
        let bytes = encode_counted(4, &[drive]);
        assert_eq!(bytes.len(), 4 + 388);
        assert_eq!(decode_counted(4, &bytes), Ok(vec![drive]));
    }

    #[test]
    fn a_descriptor_has_four_bytes_of_padding_after_its_name() {
        let pdo = PdoInformation {
            path_identifier: u64::MAX,
            ..PdoInformation::default()
        };
        let bytes = encode_descriptor(&wmi_text("d"), &[pdo]);
        assert_eq!(bytes.len(), 136 + 64);
        assert_eq!(bytes[132..136], [0; 4]);
        assert_eq!(bytes[136 + 8..136 + 16], [0xff; 8]);
        assert_eq!(decode_descriptor(&bytes), Ok((wmi_text("d"), vec![pdo])));
    }
}
