//! One record of the history for people.

use vmferry::core::MoveRecord;
use vmferry::energy::EnergyMeasurement;

use super::{energy, or_dash, outcome};

/// The answer of `history show`, with what meters told of the move.
pub(crate) fn table(record: &MoveRecord, metered: &[EnergyMeasurement]) -> String {
    let head = format!(
        "move         {}\nstarted      {}\nguest        {}\nfrom         {} ({})\nto           {} ({})\nvia          {}, {}\n",
        record.move_id,
        record.started_at.strftime("%Y-%m-%d %H:%M:%S"),
        record.guest.label(),
        record.plan.source,
        or_dash(record.source_host.hypervisor_version.as_ref()),
        record.plan.destination,
        or_dash(record.destination_host.hypervisor_version.as_ref()),
        record.plan.via,
        record.link.as_ref().map_or_else(
            || "rate unknown".to_owned(),
            |link| link.wire_rate.to_string()
        ),
    );
    match &record.outcome {
        Some(measured) => format!(
            "{head}{}{}",
            outcome::beside(record.forecast.as_ref(), measured),
            energy::metered(metered)
        ),
        None => format!("{head}no outcome: the move still runs, or nobody saw its end"),
    }
}
