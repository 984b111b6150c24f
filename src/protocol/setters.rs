//! The setters of the generated structs that users send.

/// `setters!(Name { set { field: Type, … } … })` gives each field a method that takes and returns the struct.
///
/// The groups: `set` as it is, `set_into` converted, `some` and `some_into` wrapped in `Some`, `patch` and `patch_into` with
/// one more method that sends `null`.
macro_rules! setters {
    ($name:ident {
        set { $($set:ident: $set_type:ty,)* }
        set_into { $($set_into:ident: $set_into_type:ty,)* }
        some { $($some:ident: $some_type:ty,)* }
        some_into { $($some_into:ident: $some_into_type:ty,)* }
        patch { $($patch:ident $patch_null:ident: $patch_type:ty,)* }
        patch_into { $($patch_into:ident $patch_into_null:ident: $patch_into_type:ty,)* }
    }) => {
        impl $name {
            $(#[doc = concat!("Sets [`", stringify!($set), "`](Self#structfield.", stringify!($set), ").")]
            #[inline]
            #[must_use]
            pub fn $set(mut self, value: $set_type) -> Self {
                self.$set = value;
                self
            }
            )*
            $(#[doc = concat!("Sets [`", stringify!($set_into), "`](Self#structfield.", stringify!($set_into), ").")]
            #[inline]
            #[must_use]
            pub fn $set_into(mut self, value: impl Into<$set_into_type>) -> Self {
                self.$set_into = value.into();
                self
            }
            )*
            $(#[doc = concat!("Sets [`", stringify!($some), "`](Self#structfield.", stringify!($some), ").")]
            #[inline]
            #[must_use]
            pub fn $some(mut self, value: $some_type) -> Self {
                self.$some = Some(value);
                self
            }
            )*
            $(#[doc = concat!("Sets [`", stringify!($some_into), "`](Self#structfield.", stringify!($some_into), ").")]
            #[inline]
            #[must_use]
            pub fn $some_into(mut self, value: impl Into<$some_into_type>) -> Self {
                self.$some_into = Some(value.into());
                self
            }
            )*
            $(#[doc = concat!("Sets [`", stringify!($patch), "`](Self#structfield.", stringify!($patch), ") to a value.")]
            #[inline]
            #[must_use]
            pub fn $patch(mut self, value: $patch_type) -> Self {
                self.$patch = Some(Some(value));
                self
            }
            #[doc = concat!("Sends `null` for [`", stringify!($patch), "`](Self#structfield.", stringify!($patch), "), which is not leaving it out.")]
            #[inline]
            #[must_use]
            pub fn $patch_null(mut self) -> Self {
                self.$patch = Some(None);
                self
            }
            )*
            $(#[doc = concat!("Sets [`", stringify!($patch_into), "`](Self#structfield.", stringify!($patch_into), ") to a value.")]
            #[inline]
            #[must_use]
            pub fn $patch_into(mut self, value: impl Into<$patch_into_type>) -> Self {
                self.$patch_into = Some(Some(value.into()));
                self
            }
            #[doc = concat!("Sends `null` for [`", stringify!($patch_into), "`](Self#structfield.", stringify!($patch_into), "), which is not leaving it out.")]
            #[inline]
            #[must_use]
            pub fn $patch_into_null(mut self) -> Self {
                self.$patch_into = Some(None);
                self
            }
            )*
        }
    };
}

pub(crate) use setters;
