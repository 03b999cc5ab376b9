//! When to move a guest, from what was recorded of it: traces of page history
//! and earlier moves. The guest itself is not asked.

mod guest;
mod lack;
mod moves;
mod promise;
pub mod report;
mod traces;

use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use vmferry_core::plan::MoveLimits;
use vmferry_core::{ByteRate, Bytes, GuestInfo, Joules, Millis, MoveRecord, Watts};
use vmferry_model::schedule::{
    Advice, DayClock, Preference, Profile, Sla, StartTime, choose, start_times,
};
use vmferry_model::{Assumptions, Experience};

use self::moves::{Recorded, Settings};
use self::report::{BestStart, WhenData, WhenGuest, WhenReport};
use self::traces::Found;
use crate::Error;
use crate::document::Versions;

/// Parts of the day in tables: at least so long.
const HOUR: Duration = Duration::from_secs(3600);

/// A host that may be emptied and switched off.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HostOff {
    /// Guests that have to leave it, all like this one; above 0.
    pub guests: u32,
    /// Power saved while it is off.
    pub host_power: Watts,
    /// What it takes to switch it off and on again.
    pub boot_energy: Joules,
    /// Power that a move takes; `None` computes its energy from the traffic
    /// (`liu2011`).
    pub move_power: Option<Watts>,
}

/// What is asked.
#[derive(Clone, Debug)]
pub struct WhenRequest {
    /// The guest: its URI, name or UUID, as in the history.
    pub guest: String,
    /// Traces of it, and directories with traces.
    pub traces: Vec<PathBuf>,
    /// The instant to take for now; nothing later is looked at.
    pub now: Timestamp,
    /// Whose clock tells the times of day.
    pub zone: TimeZone,
    /// How far ahead to look.
    pub within: Duration,
    /// Length of the parts of a day: whole minutes that divide a day.
    pub every: Duration,
    /// The link's rate; `None` takes that of the guest's latest move.
    pub bandwidth: Option<ByteRate>,
    /// Limits of the move; what is `None` is taken from the latest move, else
    /// QEMU's own.
    pub limits: MoveLimits,
    /// What makes one start better than another.
    pub preference: Preference,
    /// A downtime promised.
    pub sla: Option<Sla>,
    /// Whether the whole move counts against it.
    pub count_degraded: bool,
    /// A host that may be switched off.
    pub host_off: Option<HostOff>,
}

/// Says when to move a guest.
///
/// # Errors
/// When the guest is unknown, a trace is of another guest or cannot be read,
/// the link's rate is unknown, or too little was recorded for an answer.
pub async fn when(request: &WhenRequest) -> Result<WhenReport, Error> {
    let clock = DayClock::new(request.zone.clone(), request.every).ok_or_else(|| {
        Error::Usage(format!(
            "a day cannot be divided into parts of {:?}; give --every as whole minutes that \
             divide a day, for example 15m or 1h",
            request.every
        ))
    })?;
    let mut notes = Vec::new();
    let found = traces::find(&request.traces, &mut notes)?;
    let keys = guest::keys(&request.guest, &found);
    let mut recorded = moves::recorded(&keys, request.now).await?;
    // A guest that was asked for by its URI had others before.
    let uuids = recorded.records.iter().filter_map(|r| r.guest.uuid.clone());
    let more: Vec<String> = keys.iter().cloned().chain(uuids).collect();
    if more.len() > keys.len() {
        recorded = moves::recorded(&more, request.now).await?;
    }
    let request = request.clone();
    let compute = move || answer(&request, &clock, recorded, found, notes);
    let result = tokio::task::spawn_blocking(compute).await;
    result.map_err(|error| Error::Internal(format!("the search for a time failed: {error}")))?
}

fn answer(
    request: &WhenRequest,
    clock: &DayClock,
    recorded: Recorded,
    found: Vec<Found>,
    mut notes: Vec<String>,
) -> Result<WhenReport, Error> {
    let given: Vec<String> = found.iter().map(|f| f.header.guest.label()).collect();
    let found = guest::only(&request.guest, &recorded, found, &mut notes)?;
    if recorded.records.is_empty() && found.is_empty() {
        return Err(lack::unknown(request, &recorded, given));
    }
    if recorded.to_come > 0 {
        let count = counted(recorded.to_come as u64, "move");
        notes.push(format!("Left out: {count} made after now."));
    }
    let settings = Settings::of(request, &recorded.records, &mut notes)?;
    let same = settings.comparable(&recorded.records, &mut notes);
    let info = found
        .last()
        .map(|trace| &trace.header.guest)
        .or(recorded.records.first().map(|record| &record.guest));
    let taught: Vec<MoveRecord> = same.iter().map(|record| (*record).clone()).collect();
    let assumptions = info
        .map_or_else(Assumptions::kvm, Assumptions::for_guest)
        .with(&Experience::of(&taught));
    let replays = traces::replay(
        &found,
        &settings,
        &assumptions,
        clock,
        request.now,
        &mut notes,
    )?;
    let real = settings.timed(&same);
    if replays.moves.is_empty() && real.len() < 2 {
        return Err(lack::too_little(request, &recorded, &replays, real.len()));
    }
    if let Some((window, first_pass)) = replays.too_short {
        notes.push(format!(
            "Left out: recordings of up to {}, shorter than the first pass of a move ({}).",
            Millis::from(window),
            Millis::from(first_pass)
        ));
    }
    let all: Vec<_> = replays.moves.iter().chain(&real).copied().collect();
    let deadline = settings.limits.deadline_ms.duration();
    let profile = Profile::of(&all, clock, deadline);
    let hourly = DayClock::new(request.zone.clone(), request.every.max(HOUR)).map_or_else(
        || profile.clone(),
        |hours| Profile::of(&all, &hours, deadline),
    );

    let starts = start_times(&profile, request.now, request.within);
    let best = best(request, &settings, &starts);
    let known = starts.iter().filter(|start| start.cost.is_some()).count();
    if best.is_none() && request.sla.is_none() && request.host_off.is_none() {
        return Err(lack::nothing_to_choose(request, clock, &profile, known));
    }
    explain(request, &settings, &profile, &starts, &mut notes);
    if best.is_none() {
        notes.push(format!(
            "No best time: {known} of the {} start times are known, so there is nothing to choose from.",
            starts.len()
        ));
    }
    let host_off = request.host_off;
    Ok(WhenReport {
        versions: Versions::default(),
        guest: named(request, info),
        now: request.now,
        timezone: clock.zone_name(),
        within_ms: request.within.into(),
        every_ms: request.every.into(),
        link: settings.link,
        limits: settings.limits,
        preference: request.preference,
        data: WhenData {
            replays: replays.moves.len() as u64,
            traces: replays.used,
            moves: real.len() as u64,
            days: profile.days() as u64,
            known_parts: profile.known() as u64,
            parts: profile.parts().len() as u64,
        },
        sla: request
            .sla
            .map(|sla| promise::sla_answer(sla, request.count_degraded, &hourly)),
        consolidation: host_off
            .map(|off| promise::consolidation(off, best.as_ref(), starts.first(), &mut notes)),
        best,
        hours: hourly.parts().to_vec(),
        starts,
        notes,
    })
}

fn named(request: &WhenRequest, info: Option<&GuestInfo>) -> WhenGuest {
    WhenGuest {
        asked: request.guest.clone(),
        name: info.and_then(|info| info.name.clone()),
        uuid: info.and_then(|info| info.uuid.clone()),
        migrated_bytes: info.and_then(GuestInfo::migrated_bytes),
    }
}

/// The best of the start times, where at least two are known.
fn best(request: &WhenRequest, settings: &Settings, starts: &[StartTime]) -> Option<BestStart> {
    let known = starts.iter().filter(|start| start.cost.is_some()).count();
    if known < 2 {
        return None;
    }
    let choice = choose(starts, request.preference, settings.limits.max_downtime_ms)?;
    let start = &starts[choice.best];
    Some(BestStart {
        at: start.at,
        local: start.local.clone(),
        cost: start.cost.clone()?,
        advice: choice.advice,
        saving: choice.saving,
        as_good: choice.as_good.iter().map(|i| starts[*i].at).collect(),
    })
}

/// What the numbers rest on.
fn explain(
    request: &WhenRequest,
    settings: &Settings,
    profile: &Profile,
    starts: &[StartTime],
    notes: &mut Vec<String>,
) {
    if profile.days() == 1 {
        notes.push(
            "One day was recorded: how days differ is unknown, and the intervals are those of moves within it."
                .to_owned(),
        );
    }
    if profile.days() >= 7 {
        notes.push("Days of the week are not told apart.".to_owned());
    }
    let rules = Assumptions::kvm().rules;
    if settings.limits.max_downtime_ms.is_none() {
        let limit = Millis::from(rules.downtime_limit);
        notes.push(format!("QEMU's own downtime limit of {limit} was assumed."));
    }
    if let (None, Some(cap)) = (settings.limits.max_bandwidth, rules.max_bandwidth)
        && cap.0 < settings.link.stream_rate().0
    {
        notes.push(format!(
            "QEMU's own max-bandwidth of {cap} was assumed, which is less than the link carries; give --max-bandwidth."
        ));
    }
    let Some(now) = starts.first().filter(|now| now.cost.is_none()) else {
        return;
    };
    // Told, never filled in.
    let step = i64::try_from(request.every.as_secs()).unwrap_or(i64::MAX);
    let near = (1..=4i64).flat_map(|n| [n, -n]).find_map(|n| {
        let at = now
            .at
            .checked_add(jiff::SignedDuration::from_secs(n * step))
            .ok()?;
        profile.at(at)
    });
    if let Some(near) = near {
        notes.push(format!(
            "Nothing is known of moves at this time of day; those from {} on converge with {:.0} %{}.",
            near.from,
            near.converges_probability.p50 * 100.0,
            near.total_time_ms
                .map_or_else(String::new, |total| format!(" and take {}", total.expected)),
        ));
    }
}

/// Whether a move at the best time is advisable at all.
pub fn is_advisable(report: &WhenReport) -> bool {
    report
        .best
        .as_ref()
        .is_none_or(|best| best.cost.converges_probability.p50 >= crate::promising::ADVISABLE)
}

/// The times that are as good as the best, as stretches of the grid: first
/// start, last start, both by the local clock.
pub fn as_good_stretches(report: &WhenReport) -> Vec<(String, String)> {
    let Some(best) = &report.best else {
        return Vec::new();
    };
    let mut stretches: Vec<(String, String)> = Vec::new();
    let mut going_on = false;
    for start in &report.starts {
        let good = best.as_good.contains(&start.at);
        match stretches.last_mut() {
            Some(last) if good && going_on => last.1.clone_from(&start.local),
            _ if good => stretches.push((start.local.clone(), start.local.clone())),
            _ => {}
        }
        going_on = good;
    }
    stretches
}

/// What is recommended, in a sentence.
pub fn advice(report: &WhenReport) -> String {
    let Some(best) = &report.best else {
        return "nothing to choose from".to_owned();
    };
    match best.advice {
        Advice::MoveNow => "move now: no known time is better".to_owned(),
        Advice::Wait => format!(
            "wait until {}: better than now, their 90 % intervals do not overlap",
            best.local
        ),
        Advice::NoDifference => {
            "no difference worth waiting for: the intervals of now and of the best time overlap"
                .to_owned()
        }
        Advice::NowUnknown => format!("{}; of a move that starts now nothing is known", best.local),
    }
}

/// So many of something: `1 move`, `2 moves`.
pub fn counted(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// Memory and traffic by their size, for tables.
pub fn mebibytes(bytes: f64) -> String {
    let sign = if bytes < 0.0 { "-" } else { "" };
    format!("{sign}{}", Bytes(bytes.abs().round() as u64))
}
