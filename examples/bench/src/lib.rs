//! Native frames, and the measuring of times and processes, for the programs of this package.

pub mod clock;
pub mod histogram;
pub mod native;
pub mod process;
