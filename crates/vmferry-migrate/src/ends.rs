//! Both ends of a move, connected.

use vmferry_core::Plan;
use vmferry_hypervisor::qmp::{ConnectOptions, Guest};

use crate::error::{End, MigrateError};

/// The monitors of both ends. Both stay connected through the move, so that
/// either can be asked at any time.
#[derive(Clone, Debug)]
pub struct Ends {
    /// Where the guest runs before.
    pub source: Guest,
    /// Where it should run after.
    pub destination: Guest,
}

impl Ends {
    /// Connects to both.
    ///
    /// # Errors
    /// When one cannot be reached; says which.
    pub async fn connect(plan: &Plan) -> Result<Self, MigrateError> {
        let source = Guest::connect(&plan.source, ConnectOptions::default());
        let destination = Guest::connect(&plan.destination, ConnectOptions::default());
        let (source, destination) = tokio::join!(source, destination);
        Ok(Self {
            source: source.map_err(MigrateError::at(End::Source))?,
            destination: destination.map_err(MigrateError::at(End::Destination))?,
        })
    }
}
