//! Numbers, native or archived.

use crate::{Data, key::Key};
use rkyv::rend::unaligned;

/// A number, native or archived, that has an order.
pub trait Number: Copy + 'static {
    /// The native type.
    type Native: Data + Key + Copy + PartialOrd;

    /// The native number.
    fn native(self) -> Self::Native;
}

macro_rules! number {
    ($($native:ident $archived:ident),*) => {$(
        impl Number for $native {
            type Native = Self;

            #[inline]
            fn native(self) -> Self {
                self
            }
        }

        impl Number for unaligned::$archived {
            type Native = $native;

            #[inline]
            fn native(self) -> $native {
                self.to_native()
            }
        }
    )*};
}

number!(
    u16 u16_ule, u32 u32_ule, u64 u64_ule, i16 i16_ule, i32 i32_ule, i64 i64_ule, f32 f32_ule, f64 f64_ule
);

impl Number for u8 {
    type Native = Self;

    fn native(self) -> Self {
        self
    }
}

impl Number for i8 {
    type Native = Self;

    fn native(self) -> Self {
        self
    }
}
