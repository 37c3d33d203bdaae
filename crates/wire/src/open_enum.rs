//! Enumerations that stay open: an unknown value is kept, never undefined behaviour.

/// Declares a `repr(transparent)` integer with named values; values that have no name remain representable.
macro_rules! open_enum {
    (
        $(#[$meta:meta])*
        pub enum $name:ident: $repr:ty { $( $(#[$vmeta:meta])* $value:ident = $number:expr, )+ }
    ) => {
        $(#[$meta])*
        #[repr(transparent)]
        #[derive(
            Clone, Copy, PartialEq, Eq, Hash, Default,
            zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::Immutable, zerocopy::KnownLayout,
        )]
        pub struct $name(pub $repr);

        impl $name {
            $( $(#[$vmeta])* pub const $value: Self = Self($number); )+

            /// The names of all known values, with the values.
            pub const KNOWN: &'static [(&'static str, Self)] = &[ $( (stringify!($value), Self::$value), )+ ];

            /// Whether this value has a name in this version.
            pub const fn is_known(self) -> bool {
                false $( || self.0 == $number )+
            }
        }

        impl core::fmt::Debug for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                match Self::KNOWN.iter().find(|(_, value)| value == self) {
                    Some((name, _)) => f.write_str(name),
                    None => write!(f, concat!(stringify!($name), "({})"), self.0),
                }
            }
        }
    };
}

pub(crate) use open_enum;
