//! Throttles: what a guest, its stream and its pause are held to while it
//! moves, and by whom that is decided.
//!
//! ```text
//! query-migrate, record, replay ──Look──> Governor { Controller } ──Action──> CPU cap, QMP parameters
//!                                              Controller ──Course──> Outlook ──Ahead──> Controller
//! ```
//!
//! | controller | what it does |
//! |---|---|
//! | [`Curve`] | ours: the least cap that makes the forecast on the dirty curve meet the promises |
//! | [`Deadline`] | ends when asked for, with the least bandwidth and slowdown |
//! | [`Courtesy`] | R = D + delta of `liu2011`, kept on the wire |
//! | [`Jin`] | Algorithm 1 of `jin2011` as published |
//! | [`AutoConverge`] | QEMU's own, for comparison |
//! | [`Off`] | nothing but the promised limits |
//!
//! [`Steersman`] is the one that a promise asks for. A [`Governor`] keeps any of them within the [`Promises`] and undoes all in
//! the end. [`trial`] runs them over recorded dirt.

mod answer;
mod auto_converge;
mod by_promise;
mod courtesy;
mod curve;
mod deadline;
mod governor;
mod jin;
mod look;
mod looks;
mod observed;
mod outlook;
mod pass_clock;
mod promise;
mod stuck;
pub mod trial;
mod weights;

pub use answer::Answer;
pub use auto_converge::AutoConverge;
pub use by_promise::{Known, Steersman};
pub use courtesy::Courtesy;
pub use curve::Curve;
pub use deadline::Deadline;
pub use governor::{Action, Controller, Ending, Governor, Off, Wish};
pub use jin::Jin;
pub use look::{Look, Stage};
pub use looks::Looks;
pub use observed::ObservedOutlook;
pub use outlook::{Ahead, Outlook};
pub use promise::{ASSUMED_OUTSIDE, Policy, Promises, Reason};
pub use vmferry_core::Preset;
pub use weights::{CGROUP_V1_SHARES, CGROUP_V2_WEIGHT, ShareByWeight, weight_for};
