//! Who owns a series, a stream or an alert.

/// A tenant, as a small number that is part of every storage key.
///
/// Names (the `X-Scope-OrgID` header) are mapped to numbers by the server; without multi-tenancy
/// everything belongs to [`TenantId::DEFAULT`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TenantId(pub u32);

impl TenantId {
    /// The only tenant while multi-tenancy is off.
    pub const DEFAULT: TenantId = TenantId(0);
}
