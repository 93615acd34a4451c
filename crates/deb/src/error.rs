use crate::archive;

/// What can go wrong with packages and repositories.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    // Packages and transport.
    /// A .deb is malformed or holds what a package must not hold.
    #[error("package `{deb}`: {place}: {defect}")]
    Archive {
        /// The package, as it was named to the reader.
        deb: String,
        /// The `ar` member, and the entry in it where one is concerned.
        place: String,
        /// What is wrong.
        defect: archive::Defect,
    },
}

/// The result of an operation on packages or repositories.
pub type Result<T, E = Error> = std::result::Result<T, E>;
