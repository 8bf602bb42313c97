//! Fields of C structures in little-endian bytes, and the macro that lays structures out.

/// Something with a fixed size in bytes.
pub trait Field: Sized + Copy {
    /// Its size in bytes, inner padding included.
    const BYTES: usize;

    /// Writes it over the first [`Self::BYTES`] of `out`, which is at least that long.
    fn put(&self, out: &mut [u8]);

    /// Reads it from the first [`Self::BYTES`] of `bytes`, which is at least that long.
    fn get(bytes: &[u8]) -> Self;
}

macro_rules! number {
    ($($t:ty),*) => {$(
        impl Field for $t {
            const BYTES: usize = size_of::<$t>();

            fn put(&self, out: &mut [u8]) {
                out[..Self::BYTES].copy_from_slice(&self.to_le_bytes());
            }

            fn get(bytes: &[u8]) -> Self {
                let mut raw = [0; Self::BYTES];
                raw.copy_from_slice(&bytes[..Self::BYTES]);
                Self::from_le_bytes(raw)
            }
        }
    )*};
}

number!(u8, u16, i16, u32, i32, u64);

impl<T: Field + Default, const N: usize> Field for [T; N] {
    const BYTES: usize = T::BYTES * N;

    fn put(&self, out: &mut [u8]) {
        for (value, place) in self.iter().zip(out.chunks_exact_mut(T::BYTES)) {
            value.put(place);
        }
    }

    fn get(bytes: &[u8]) -> Self {
        let mut all = [T::default(); N];
        for (value, place) in all.iter_mut().zip(bytes.chunks_exact(T::BYTES)) {
            *value = T::get(place);
        }
        all
    }
}

/// A structure with its size, alignment and offsets, which the compiler checks: `repr(C)` places the
/// fields as a C compiler for x86-64 does, and the numbers written down are those of the Windows
/// headers.
macro_rules! c_struct {
    (
        $(#[$meta:meta])*
        $name:ident, $size:literal / $align:literal {
            $($(#[$field_meta:meta])* $field:ident: $type:ty = $offset:literal,)*
        }
    ) => {
        $(#[$meta])*
        #[repr(C)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct $name {
            $($(#[$field_meta])* pub $field: $type,)*
        }

        const _: () = {
            assert!(size_of::<$name>() == $size, "size");
            assert!(align_of::<$name>() == $align, "alignment");
            $(assert!(std::mem::offset_of!($name, $field) == $offset, "offset");)*
        };

        impl $crate::control::layout::Field for $name {
            const BYTES: usize = $size;

            fn put(&self, out: &mut [u8]) {
                // Padding is zero, whatever was there.
                out[..$size].fill(0);
                $($crate::control::layout::Field::put(&self.$field, &mut out[$offset..]);)*
            }

            fn get(bytes: &[u8]) -> Self {
                Self {
                    $($field: $crate::control::layout::Field::get(&bytes[$offset..]),)*
                }
            }
        }

        impl Default for $name {
            /// All zero.
            fn default() -> Self {
                <Self as $crate::control::layout::Field>::get(&[0; $size])
            }
        }
    };
}

pub(crate) use c_struct;

c_struct! {
    /// GUID: three numbers in little-endian, then eight bytes as they are.
    Guid, 16 / 4 {
        data1: u32 = 0,
        data2: u16 = 4,
        data3: u16 = 6,
        data4: [u8; 8] = 8,
    }
}

impl From<uuid::Uuid> for Guid {
    fn from(uuid: uuid::Uuid) -> Self {
        let (data1, data2, data3, data4) = uuid.as_fields();
        Self {
            data1,
            data2,
            data3,
            data4: *data4,
        }
    }
}

impl From<Guid> for uuid::Uuid {
    fn from(guid: Guid) -> Self {
        Self::from_fields(guid.data1, guid.data2, guid.data3, &guid.data4)
    }
}

/// A counted string of WMI in its fixed place of 64 UTF-16 units: the first says how many bytes
/// follow, so there is room for 63.
pub type WmiText = [u16; 64];

/// The same in 32 units.
pub type WmiText32 = [u16; 32];

/// Lays a text into its place; what does not fit is cut at a character.
pub fn wmi_text<const N: usize>(text: &str) -> [u16; N] {
    let mut place = [0; N];
    let mut used = 0;
    for c in text.chars() {
        let mut units = [0; 2];
        let units = c.encode_utf16(&mut units);
        if used + units.len() > N - 1 {
            break;
        }
        place[1 + used..][..units.len()].copy_from_slice(units);
        used += units.len();
    }
    place[0] = (used * 2) as u16;
    place
}

/// Reads such a text; `None` when its length does not fit, is odd, or it is no UTF-16.
pub fn from_wmi_text(place: &[u16]) -> Option<String> {
    let (&bytes, units) = place.split_first()?;
    let len = usize::from(bytes) / 2;
    if bytes % 2 != 0 || len > units.len() {
        return None;
    }
    String::from_utf16(&units[..len]).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guid_has_its_first_three_parts_little_endian() {
        let uuid = uuid::Uuid::from_u128(0x7c5f_bae3_333a_48a1_a982_33c1_5788_cde3);
        let mut bytes = [0; 16];
        Guid::from(uuid).put(&mut bytes);
        assert_eq!(bytes, uuid.to_bytes_le());
        assert_eq!(uuid::Uuid::from(Guid::get(&bytes)), uuid);
    }

    #[test]
    fn a_counted_text_is_cut_at_a_character_and_reads_back() {
        let place: WmiText = wmi_text("ab");
        assert_eq!(place[..4], [4, 97, 98, 0]);
        assert_eq!(from_wmi_text(&place).as_deref(), Some("ab"));
        // The 63rd and 64th unit would be one character.
        let long = "x".repeat(62) + "🦀";
        let place: WmiText = wmi_text(&long);
        assert_eq!(from_wmi_text(&place), Some("x".repeat(62)));
        assert_eq!(from_wmi_text(&[3, 97, 98]), None, "odd");
        assert_eq!(from_wmi_text(&[6, 97, 98]), None, "too long");
        assert_eq!(from_wmi_text(&[2, 0xd800]), None, "half a pair");
        assert_eq!(from_wmi_text(&[]), None);
    }
}
