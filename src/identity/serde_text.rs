//! Serde for the types that are texts: they are written as they are displayed, and read as they are
//! parsed. So nothing comes in that the rules do not allow.

use super::{ClusterAttrs, EndPoint, Fingerprint, MemberAttrs, Name, NodeId, PublicKey, Version};

macro_rules! serde_as_text {
    ($($name:ty),*) => {$(
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
                let text = <alloc::string::String as serde::Deserialize>::deserialize(input)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    )*};
}

pub(crate) use serde_as_text;

serde_as_text!(ClusterAttrs, EndPoint, Fingerprint, MemberAttrs, Name, NodeId, PublicKey, Version);
