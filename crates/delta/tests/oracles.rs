//! The crate beside the programs that its formats come from: `rdiff`, `zck`, `unzck`, `zck_read_header`, SWUpdate, nginx.

#![allow(
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helpers too"
)]

mod oracles {
    pub(crate) mod images;
    mod nginx;
    pub(crate) mod programs;
    mod rdiff;
    mod swupdate;
    mod zchunk;
}
