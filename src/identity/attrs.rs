//! The 64-bit flag sets of members and clusters (PROTOCOL 1).

macro_rules! flags {
    ($(#[$doc:meta])* $name:ident { $($(#[$flag_doc:meta])* $flag:ident = $bit:literal,)* }) => {
        $(#[$doc])*
        ///
        /// Bits without a name are kept as they come.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(u64);

        impl $name {
            /// No flag set.
            pub const NONE: Self = Self(0);
            $($(#[$flag_doc])* pub const $flag: Self = Self($bit);)*

            /// The set with exactly these bits.
            pub const fn from_bits(bits: u64) -> Self {
                Self(bits)
            }

            /// All bits as they are on the wire.
            pub const fn bits(self) -> u64 {
                self.0
            }

            /// Whether every flag of `other` is set.
            pub const fn contains(self, other: Self) -> bool {
                self.0 & other.0 == other.0
            }

            /// The flags set in either.
            #[must_use]
            pub const fn union(self, other: Self) -> Self {
                Self(self.0 | other.0)
            }
        }
    };
}

flags! {
    /// Flags of a member.
    MemberAttrs {
        /// The member is not expected to come back.
        EPHEMERAL = 1,
        /// The member administers clusters and joins none.
        ADMIN = 2,
        /// The member belongs to no cluster.
        SOLO = 4,
    }
}

flags! {
    /// Flags of a cluster.
    ClusterAttrs {
        /// The cluster is not meant to outlive its members.
        EPHEMERAL = 1,
        /// The cluster has been deleted.
        DELETED = 2,
    }
}
