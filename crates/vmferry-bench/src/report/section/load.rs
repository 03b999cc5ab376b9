//! What stood around the guest of a cell: the clients, the other guests, and runs that subjects
//! share.

use std::collections::BTreeSet;

use crate::findings::joined;
use crate::record::{HeavyEnd, HeavyLoad};
use crate::report::cell::Cell;
use crate::report::spread::number;

/// Who made the load.
pub(super) fn clients(cell: &Cell<'_>) -> String {
    let runs = cell.subjects.iter().flat_map(|subject| &subject.runs);
    let served = runs.flat_map(|run| run.reference.iter().chain(&run.migrated));
    let clients: BTreeSet<String> = served
        .map(|run| format!("{}, which counts {}", run.client, run.unit))
        .collect();
    match clients.is_empty() {
        true => "No run of the service got to its end.".to_owned(),
        false => {
            let clients: Vec<String> = clients.into_iter().collect();
            format!("The load comes from {}.", clients.join("; "))
        }
    }
}

/// How many guests heavy load is here, why, and what each did with so many.
pub(super) fn heavy(heavy: &HeavyLoad) -> String {
    let guests = match heavy.background_guests {
        1 => "1 guest beside".to_owned(),
        many => format!("{many} guests beside"),
    };
    let because = match &heavy.because {
        HeavyEnd::Hurts => {
            "; with the last one each guest did less than 80 % of what it does alone".to_owned()
        }
        HeavyEnd::NoRoom => "; there was no room for more".to_owned(),
        HeavyEnd::Fault { message } => format!("; one more failed: {message}"),
        HeavyEnd::Uncounted => {
            "; nobody counts what the guests do, and there was no room for more".to_owned()
        }
        HeavyEnd::Given => ", as the plan says".to_owned(),
    };
    let steps = heavy.steps.iter().map(|step| {
        let rate = number(step.rate_per_s);
        match step.background_guests {
            0 => format!("{rate} alone"),
            beside => format!("{rate} with {beside} beside"),
        }
    });
    let steps: Vec<String> = match heavy.because {
        HeavyEnd::Uncounted => Vec::new(),
        _ => steps.collect(),
    };
    let steps = match steps.is_empty() {
        true => String::new(),
        false => format!(
            ". Operations a second of each guest, in the median: {}",
            steps.join(", ")
        ),
    };
    format!("Heavy load: {guests}{because}{steps}.")
}

/// Which subjects share their runs without migrations, a sentence for all that share one.
pub(super) fn shared(cell: &Cell<'_>) -> Vec<String> {
    let runs = cell.subjects.iter().flat_map(|subject| &subject.runs);
    let pairs = runs.filter_map(|run| Some([run.reference_of.as_ref()?, &run.key.subject]));
    let sharing: BTreeSet<&String> = pairs.flatten().collect();
    let mut subjects: Vec<_> = cell.plan.subjects.iter().collect();
    subjects.retain(|subject| sharing.contains(&subject.name));
    let mut said = Vec::new();
    while let Some(first) = subjects.first().copied() {
        let (alike, others) = subjects
            .into_iter()
            .partition::<Vec<_>, _>(|subject| subject.serves_like(first));
        let names: Vec<String> = alike.iter().map(|subject| subject.name.clone()).collect();
        // Of a document with one subject taken out of its benchmark, the other is not known.
        if names.len() > 1 {
            said.push(format!(
                "{} serve alike and differ only in how they migrate: in each repeat they share one \
                 run without migrations.",
                joined(&names)
            ));
        }
        subjects = others;
    }
    said
}
