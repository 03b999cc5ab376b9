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
//! A [`Governor`] keeps any of them within the [`Promises`] and undoes all in
//! the end. [`trial`] runs them over recorded dirt. [`Steersman`] is the one a
//! promise asks for, [`feasibility`] says beforehand whether it can keep it.

mod answer;
mod auto_converge;
mod chosen;
mod courtesy;
mod curve;
mod deadline;
pub mod feasibility;
mod governor;
mod jin;
mod look;
mod looks;
mod observed;
mod outlook;
mod pass_clock;
mod promise;
mod relaxation;
mod steersman;
mod stuck;
pub mod trial;
mod weights;

pub use answer::Answer;
pub use auto_converge::AutoConverge;
pub use chosen::{AnyController, check, controller, steered_by};
pub use courtesy::Courtesy;
pub use curve::Curve;
pub use deadline::Deadline;
pub use feasibility::promise_forecast;
pub use governor::{Action, Controller, Ending, Governor, Off, Wish};
pub use jin::Jin;
pub use look::{Look, Stage};
pub use looks::Looks;
pub use observed::ObservedOutlook;
pub use outlook::{Ahead, Outlook};
pub use promise::{ASSUMED_OUTSIDE, Policy, Promises, Reason};
pub use steersman::{Known, Steersman};
pub use vmferry_core::Preset;
pub use weights::{CGROUP_V1_SHARES, CGROUP_V2_WEIGHT, ShareByWeight, weight_for};
