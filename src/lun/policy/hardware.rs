//! Vendor and product, in the form by which Windows keeps policies for them.

use std::fmt;

/// Characters of the vendor.
pub const VENDOR: usize = 8;
/// Characters of the product.
pub const PRODUCT: usize = 16;

/// Vendor and product: 8 and 16 printable ASCII characters, blank padded, as in INQUIRY data and in
/// MPIO's hardware ids.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HardwareId([u8; VENDOR + PRODUCT]);

impl HardwareId {
    /// Longer texts are cut; what is not printable ASCII becomes `_`.
    pub fn new(vendor: &str, product: &str) -> Self {
        let mut id = [b' '; VENDOR + PRODUCT];
        put(&mut id[..VENDOR], vendor.trim());
        put(&mut id[VENDOR..], product.trim());
        Self(id)
    }

    /// Reads `VENDOR` and `PRODUCT` out of up to 24 characters, padded or not at the end. `None` for
    /// what can not be one: empty, too long, not printable ASCII.
    pub fn parse(text: &str) -> Option<Self> {
        let ok = text.bytes().all(|b| (0x20..0x7f).contains(&b));
        if !ok || text.trim().is_empty() || text.len() > VENDOR + PRODUCT {
            return None;
        }
        let mut id = [b' '; VENDOR + PRODUCT];
        id[..text.len()].copy_from_slice(text.as_bytes());
        Some(Self(id))
    }

    /// The vendor without padding.
    pub fn vendor(&self) -> &str {
        text(&self.0[..VENDOR])
    }

    /// The product without padding.
    pub fn product(&self) -> &str {
        text(&self.0[VENDOR..])
    }

    /// All 24 characters.
    pub fn padded(&self) -> &str {
        text_all(&self.0)
    }
}

impl Default for HardwareId {
    fn default() -> Self {
        Self::new("UMPIO", "LUN")
    }
}

fn put(place: &mut [u8], text: &str) {
    for (to, from) in place.iter_mut().zip(text.chars()) {
        *to = if from.is_ascii_graphic() || from == ' ' {
            from as u8
        } else {
            b'_'
        };
    }
}

fn text_all(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap_or("")
}

fn text(bytes: &[u8]) -> &str {
    text_all(bytes).trim_end()
}

impl fmt::Display for HardwareId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.padded())
    }
}

impl fmt::Debug for HardwareId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.padded())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vendor_and_product_have_fixed_places() {
        let id = HardwareId::new("MSFT", "Virtual HD");
        assert_eq!(id.padded(), "MSFT    Virtual HD      ");
        assert_eq!(HardwareId::parse(id.padded()), Some(id.clone()));
        assert_eq!(HardwareId::parse(id.padded().trim_end()), Some(id.clone()));
        assert_eq!((id.vendor(), id.product()), ("MSFT", "Virtual HD"));
    }

    #[test]
    fn texts_that_are_no_id_are_refused_and_foreign_ones_made_to_fit() {
        for bad in ["", "   ", "a\tb", "naïve", "0123456789012345678901234"] {
            assert_eq!(HardwareId::parse(bad), None, "{bad:?}");
        }
        let long = HardwareId::new("a very long vendor", "naïve product, far too long");
        assert_eq!(long.padded(), "a very lna_ve product, f");
    }
}
