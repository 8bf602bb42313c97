//! `codes!`: an open set of named numbers. The wire may carry a number we have no name for, so
//! these are newtypes with constants and not enums.

/// Declares a newtype with one constant per known code, `name()` and `Display`.
macro_rules! codes {
    ($(#[$meta:meta])* $name:ident : $ty:ty { $($id:ident = $val:literal => $text:literal,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub $ty);

        impl $name {
            $(
                #[doc = concat!($text, " (", stringify!($val), ").")]
                pub const $id: Self = Self($val);
            )*

            /// The name in the specification, where we know one.
            pub const fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($val => Some($text),)*
                    _ => None,
                }
            }
        }

        impl core::fmt::Display for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                match self.name() {
                    Some(name) => f.write_str(name),
                    None => write!(f, concat!(stringify!($name), " {:#x}"), self.0),
                }
            }
        }
    };
}

pub(super) use codes;
