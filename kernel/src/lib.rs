//! The hot loops of Muniment: what touches every byte of every entry.
//!
//! Bytes go in, bytes come out. Each function has a twin in `muniment.kernel.python`, which says
//! what it does. Where the twin would raise an error, the function here says `None`, and the
//! caller asks the twin for the error; so `None` may also mean "I would rather not judge".

#![cfg_attr(not(feature = "python"), forbid(unsafe_code))]
#![warn(missing_docs)]

mod json;
pub mod merkle;
pub mod pack;
#[cfg(feature = "python")]
mod python;
pub mod stored;
pub mod unpack;

/// Changes with every signature; the Python side names the number that it was written for.
pub const INTERFACE: u32 = 1;
