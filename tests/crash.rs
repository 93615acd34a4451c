//! Power cuts: what reaches the medium is recorded, and every state that a cut can leave is judged.
//!
//! - [`disk`]: a machine whose disk records what is written to it.
//! - [`enumerate`]: from a record to the states, and what becomes of the machine in each.
//! - [`product`]: releases to install, small enough for thousands of states.
//! - [`server`]: where a difference fetches what it lacks.

pub mod disk;
pub mod enumerate;
pub mod product;
pub mod server;
