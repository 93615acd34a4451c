//! Lock (being written).
/// Defect.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Defect {
    /// x
    #[error("x")]
    X,
}
