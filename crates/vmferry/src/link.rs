//! How fast a route is: what the operator says, else what history knows, else
//! a short measurement.

use vmferry_core::{ByteRate, LinkSpeed, StreamUri};
use vmferry_history::{History, Route, Store as _, history_path};
use vmferry_hypervisor::qmp::Guest;
use vmferry_measure::{LinkOptions, MeasureError, measure_link, stream_address};

use crate::Error;

/// The other end of a route.
#[derive(Clone, Copy, Debug)]
pub struct RouteEnd<'a> {
    /// The destination.
    pub destination: &'a Guest,
    /// Where it will listen.
    pub via: &'a StreamUri,
}

impl RouteEnd<'_> {
    /// The route from a source to here.
    pub(crate) fn route_from(&self, source: &Guest) -> Route {
        Route::new(
            (&source.host_info(), source.uri()),
            (&self.destination.host_info(), self.destination.uri()),
            self.via,
        )
    }
}

/// The rate to assume for a move from `source`.
///
/// # Errors
/// When nobody said it, history does not know it and it cannot be measured
/// from here.
pub async fn speed(
    given: Option<ByteRate>,
    source: &Guest,
    end: Option<RouteEnd<'_>>,
) -> Result<LinkSpeed, Error> {
    if let Some(rate) = given {
        return Ok(LinkSpeed::given(rate));
    }
    let Some(end) = end else {
        return Err(Error::Usage(
            "the rate of the link is unknown: give --bandwidth, or --to and --via so that it can be looked up or measured"
                .into(),
        ));
    };
    let route = end.route_from(source);
    if let Some(known) = learned(&route).await {
        return Ok(known);
    }
    let address = stream_address(end.via)?;
    let (from, to) = (source.pid(), end.destination.pid());
    match measure_link(from, to, address, LinkOptions::default()).await {
        Err(MeasureError::LinkNotLocal { .. }) => Err(Error::Usage(format!(
            "the rate of the route {route} is neither in the history nor measurable from here: give --bandwidth"
        ))),
        measured => Ok(measured?),
    }
}

/// What history knows; a history that cannot be read knows nothing.
async fn learned(route: &Route) -> Option<LinkSpeed> {
    let history = History::open_existing(&history_path().ok()?).await.ok()?;
    history.route_rate(route).await.ok()?
}
