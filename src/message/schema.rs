//! Every field number of `proto/xlreg.proto`, and the sizes that follow from them (PROTOCOL 5).

/// The largest number of members in a cluster: `Which` has 64 bits.
pub const MAX_CLUSTER_SIZE: u8 = 64;

/// The fields of an `XLRegMsg`.
pub(super) mod message {
    pub(in crate::message) const OP: u32 = 1;
    pub(in crate::message) const AES_KEY: u32 = 3;
    pub(in crate::message) const SALT1: u32 = 4;
    pub(in crate::message) const SALT2: u32 = 5;
    pub(in crate::message) const VERSION: u32 = 6;
    pub(in crate::message) const MEMBER_NAME: u32 = 8;
    pub(in crate::message) const MEMBER_ID: u32 = 9;
    pub(in crate::message) const MEMBER_ATTRS: u32 = 10;
    pub(in crate::message) const MEMBER_SPECS: u32 = 11;
    pub(in crate::message) const CLUSTER_ID: u32 = 13;
    pub(in crate::message) const CLUSTER_NAME: u32 = 14;
    pub(in crate::message) const CLUSTER_MAX_SIZE: u32 = 15;
    pub(in crate::message) const CLUSTER_ATTRS: u32 = 16;
    pub(in crate::message) const END_POINT_COUNT: u32 = 17;
    pub(in crate::message) const WHICH: u32 = 20;
    pub(in crate::message) const TOKENS: u32 = 21;
    pub(in crate::message) const DIG_SIG: u32 = 22;
    pub(in crate::message) const ERR_DESC: u32 = 23;
}

/// The fields of a `Token`.
pub(super) mod token {
    pub(in crate::message) const NAME: u32 = 1;
    pub(in crate::message) const ATTRS: u32 = 2;
    pub(in crate::message) const ID: u32 = 3;
    pub(in crate::message) const COMMS_KEY: u32 = 4;
    pub(in crate::message) const SIG_KEY: u32 = 5;
    pub(in crate::message) const MY_ENDS: u32 = 6;
    pub(in crate::message) const DIG_SIG: u32 = 7;
}
