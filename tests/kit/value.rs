//! Plain values for every type of Kafka's protocol, and [`value!`](crate::value!) to write them down.

use std::fmt;
use std::ops::Index;

use bytes::Bytes;
use uuid::Uuid;

/// A value of any type.
#[derive(Clone, PartialEq)]
pub enum Value {
    /// No value, where the schema allows that.
    Null,
    /// A `bool`.
    Bool(bool),
    /// A number of any size.
    Int(i64),
    /// A `float64`.
    Float(f64),
    /// A `uuid`.
    Uuid(Uuid),
    /// A `string`.
    Str(String),
    /// `bytes` or `records`.
    Bytes(Bytes),
    /// An array.
    Array(Vec<Self>),
    /// A struct. Tagged fields the schema does not know are `unknown_tags`, each with `tag` and `data`.
    Struct(Vec<(&'static str, Self)>),
}

impl Value {
    /// The field of this name, if the struct has it.
    ///
    /// # Panics
    ///
    /// If this is no struct.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Struct(fields) => fields.iter().find(|(known, _)| *known == name).map(|(_, value)| value),
            other => panic!("{other:?} is no struct: it has no field {name}"),
        }
    }

    /// The elements of an array.
    ///
    /// # Panics
    ///
    /// If this is no array.
    #[must_use]
    pub fn array(&self) -> &[Self] {
        match self {
            Self::Array(elements) => elements,
            other => panic!("{other:?} is no array"),
        }
    }

    /// The number.
    ///
    /// # Panics
    ///
    /// If this is no number.
    #[must_use]
    pub fn int(&self) -> i64 {
        match self {
            Self::Int(number) => *number,
            other => panic!("{other:?} is no number"),
        }
    }

    /// The text.
    ///
    /// # Panics
    ///
    /// If this is no string.
    #[must_use]
    pub fn str(&self) -> &str {
        match self {
            Self::Str(text) => text,
            other => panic!("{other:?} is no string"),
        }
    }

    /// The bytes.
    ///
    /// # Panics
    ///
    /// If these are no bytes.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        match self {
            Self::Bytes(bytes) => bytes,
            other => panic!("{other:?} is no bytes"),
        }
    }

    /// The UUID.
    ///
    /// # Panics
    ///
    /// If this is no UUID.
    #[must_use]
    pub fn uuid(&self) -> Uuid {
        match self {
            Self::Uuid(uuid) => *uuid,
            other => panic!("{other:?} is no UUID"),
        }
    }

    /// Whether this is null.
    #[must_use]
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// The one element of an array whose field `name` is `value`.
    ///
    /// # Panics
    ///
    /// If there is none.
    #[must_use]
    pub fn find(&self, name: &str, value: impl Into<Self>) -> &Self {
        let value = value.into();
        self.array()
            .iter()
            .find(|element| element.field(name) == Some(&value))
            .unwrap_or_else(|| panic!("no element with {name} {value:?} in {self:?}"))
    }
}

impl Index<&str> for Value {
    type Output = Self;

    fn index(&self, name: &str) -> &Self {
        self.field(name).unwrap_or_else(|| panic!("no field {name} in {self:?}"))
    }
}

impl Index<usize> for Value {
    type Output = Self;

    fn index(&self, index: usize) -> &Self {
        self.array().get(index).unwrap_or_else(|| panic!("no element {index} in {self:?}"))
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Bool(value) => write!(f, "{value}"),
            Self::Int(value) => write!(f, "{value}"),
            Self::Float(value) => write!(f, "{value:?}"),
            Self::Uuid(value) => write!(f, "{value}"),
            Self::Str(value) => write!(f, "{value:?}"),
            Self::Bytes(value) => write!(f, "{value:?}"),
            Self::Array(elements) => f.debug_list().entries(elements).finish(),
            Self::Struct(fields) => {
                let mut map = f.debug_map();
                for (name, value) in fields {
                    map.entry(&format_args!("{name}"), value);
                }
                map.finish()
            }
        }
    }
}

macro_rules! number {
    ($($type:ty)*) => {$(
        impl From<$type> for Value {
            fn from(number: $type) -> Self {
                Self::Int(number.into())
            }
        }

        impl PartialEq<$type> for Value {
            fn eq(&self, number: &$type) -> bool {
                matches!(self, Self::Int(mine) if *mine == i64::from(*number))
            }
        }
    )*};
}

number!(i8 i16 i32 i64 u8 u16 u32);

macro_rules! plain {
    ($($type:ty, $variant:ident, $into:expr;)*) => {$(
        impl From<$type> for Value {
            fn from(value: $type) -> Self {
                Self::$variant($into(value))
            }
        }

        impl PartialEq<$type> for Value {
            fn eq(&self, value: &$type) -> bool {
                matches!(self, Self::$variant(mine) if *mine == *value)
            }
        }
    )*};
}

plain! {
    bool, Bool, std::convert::identity;
    f64, Float, std::convert::identity;
    Uuid, Uuid, std::convert::identity;
    &str, Str, str::to_owned;
    String, Str, std::convert::identity;
    Bytes, Bytes, std::convert::identity;
    Vec<u8>, Bytes, Bytes::from;
    &[u8], Bytes, Bytes::copy_from_slice;
}

impl<const N: usize> From<&[u8; N]> for Value {
    fn from(bytes: &[u8; N]) -> Self {
        Self::Bytes(Bytes::copy_from_slice(bytes))
    }
}

impl From<&String> for Value {
    fn from(text: &String) -> Self {
        Self::Str(text.clone())
    }
}

impl From<&Self> for Value {
    fn from(value: &Self) -> Self {
        value.clone()
    }
}

impl From<Vec<Self>> for Value {
    fn from(elements: Vec<Self>) -> Self {
        Self::Array(elements)
    }
}

impl<T: Into<Self>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// Writes a value down: `value!({ topics: [{ name: "a", partitions: [0, 1] }], timeout_ms: 1_000, group: null })`.
///
/// Names are identifiers; whatever is no `{..}`, `[..]` or `null` is an expression that is `Into<Value>`.
#[macro_export]
macro_rules! value {
    ({ $($body:tt)* }) => { $crate::value::Value::Struct($crate::value!(@fields [] $($body)*)) };
    ([ $($body:tt)* ]) => { $crate::value::Value::Array($crate::value!(@elements [] $($body)*)) };
    (null) => { $crate::value::Value::Null };

    (@fields [$($done:tt)*]) => { vec![$($done)*] };
    (@fields [$($done:tt)*] $name:ident : { $($inner:tt)* } $(, $($rest:tt)*)?) => {
        $crate::value!(@fields [$($done)* (stringify!($name), $crate::value!({ $($inner)* })),] $($($rest)*)?)
    };
    (@fields [$($done:tt)*] $name:ident : [ $($inner:tt)* ] $(, $($rest:tt)*)?) => {
        $crate::value!(@fields [$($done)* (stringify!($name), $crate::value!([ $($inner)* ])),] $($($rest)*)?)
    };
    (@fields [$($done:tt)*] $name:ident : null $(, $($rest:tt)*)?) => {
        $crate::value!(@fields [$($done)* (stringify!($name), $crate::value::Value::Null),] $($($rest)*)?)
    };
    (@fields [$($done:tt)*] $name:ident : $value:expr $(, $($rest:tt)*)?) => {
        $crate::value!(@fields [$($done)* (stringify!($name), $crate::value::Value::from($value)),] $($($rest)*)?)
    };

    (@elements [$($done:tt)*]) => { vec![$($done)*] };
    (@elements [$($done:tt)*] { $($inner:tt)* } $(, $($rest:tt)*)?) => {
        $crate::value!(@elements [$($done)* $crate::value!({ $($inner)* }),] $($($rest)*)?)
    };
    (@elements [$($done:tt)*] null $(, $($rest:tt)*)?) => {
        $crate::value!(@elements [$($done)* $crate::value::Value::Null,] $($($rest)*)?)
    };
    (@elements [$($done:tt)*] $value:expr $(, $($rest:tt)*)?) => {
        $crate::value!(@elements [$($done)* $crate::value::Value::from($value),] $($($rest)*)?)
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_reads_like_what_it_is() {
        let topic = "a".to_owned();
        let value = value!({ topics: [{ name: &topic, partitions: [0, 1 + 1] }], group: null, ok: true, epoch: -1, });
        assert_eq!(value["topics"][0]["partitions"][1], 2);
        assert_eq!(value["topics"].find("name", "a")["partitions"].array().len(), 2);
        assert_eq!(value["ok"], true);
        assert_eq!(value["epoch"], -1_i64);
        assert!(value["group"].is_null());
        assert_eq!(
            format!("{value:?}"),
            r#"{topics: [{name: "a", partitions: [0, 2]}], group: null, ok: true, epoch: -1}"#
        );
        assert_eq!(value!({}), Value::Struct(vec![]));
        assert_eq!(value!([]), Value::Array(vec![]));
    }
}
