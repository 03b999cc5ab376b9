//! How many guests make a heavy load (`virtlm2011`, "outside the VM"): they are added until a newly
//! added one clearly hurts each guest's workload.

use super::running::Moment;
use super::{BenchEvent, Procedure, RunStep, Stopped, Watch, failed, running};
use crate::estimate::median;
use crate::metric::rate;
use crate::plan::Load;
use crate::platform::{Platform, Service};
use crate::record::{HeavyEnd, HeavyLoad, HeavyStep, RunKey};

/// A guest hurts clearly where the median rate of all is below this share of a guest's alone.
/// Against alone and not against one fewer: where a machine bears many guests, none of them would
/// ever hurt clearly by itself. The one that hurts stays: with it the machine is full.
const HURT: f64 = 0.8;

/// Counts the guests for a workload, with the plan's first subject.
pub(super) async fn search<P: Platform>(
    procedure: &mut Procedure<'_, '_, P>,
    key: &RunKey,
) -> Result<HeavyLoad, Stopped> {
    let found = |background_guests, steps, because| HeavyLoad {
        workload: key.workload.clone(),
        background_guests,
        steps,
        because,
    };
    if let Some(given) = procedure.plan.background_guests {
        return Ok(found(given, Vec::new(), HeavyEnd::Given));
    }
    let most = procedure
        .platform
        .most_background_guests(&procedure.plan, &key.workload)
        .map_err(|fault| failed("the room for guests", &fault))?;
    if most == 0 {
        let why = "there is no memory for a guest beside the migrated one".to_owned();
        return Err(Stopped::Failed(why));
    }
    let first = procedure.plan.subjects.first();
    let key = RunKey {
        subject: first.map_or_else(String::new, |subject| subject.name.clone()),
        ..key.clone()
    };
    procedure.step(&key, RunStep::HeavySearch);
    let alone = match light_rate(procedure, &key) {
        Some(rate_per_s) => rate_per_s,
        None => measure(procedure, &key, 0).await?,
    };
    let mut steps = vec![tried(procedure, &key, 0, alone)];
    if alone == 0.0 {
        return Ok(found(most, steps, HeavyEnd::Uncounted));
    }
    for guests in 1..=most {
        let rate = match measure(procedure, &key, guests).await {
            Ok(rate) => rate,
            Err(Stopped::Failed(message)) if guests > 1 => {
                return Ok(found(guests - 1, steps, HeavyEnd::Fault { message }));
            }
            Err(stopped) => return Err(stopped),
        };
        steps.push(tried(procedure, &key, guests, rate));
        if rate < HURT * alone {
            return Ok(found(guests, steps, HeavyEnd::Hurts));
        }
    }
    Ok(found(most, steps, HeavyEnd::NoRoom))
}

fn tried<P: Platform>(
    procedure: &mut Procedure<'_, '_, P>,
    key: &RunKey,
    background_guests: u32,
    rate_per_s: f64,
) -> HeavyStep {
    (procedure.tell)(BenchEvent::HeavyTried {
        workload: key.workload.clone(),
        background_guests,
        rate_per_s,
    });
    HeavyStep {
        background_guests,
        rate_per_s,
    }
}

/// The rate of the guest alone, where a run under light load has measured it.
fn light_rate<P: Platform>(procedure: &Procedure<'_, '_, P>, key: &RunKey) -> Option<f64> {
    let runs = &procedure.bench.record().runs;
    let light = runs.iter().find(|run| {
        run.key.load == Load::Light
            && run.key.workload == key.workload
            && run.key.subject == key.subject
    });
    let reference = light?.reference.as_ref()?;
    rate(reference.operations, reference.seconds)
}

/// Median rate of all guests, with so many beside the first.
async fn measure<P: Platform>(
    procedure: &mut Procedure<'_, '_, P>,
    key: &RunKey,
    guests: u32,
) -> Result<f64, Stopped> {
    procedure
        .with_service(key, guests, async |service, watch| {
            let rates = rates(service, watch).await?;
            median(&rates).ok_or_else(|| Stopped::Failed("no time was measured".to_owned()))
        })
        .await
}

/// Operations per second of each guest over a sector's length.
async fn rates<S: Service>(service: &mut S, watch: &Watch<'_>) -> Result<Vec<f64>, Stopped> {
    let (_, since) = running::warm_up(service, watch).await?;
    let others = |fault| failed("the clients of the guests beside it", &fault);
    let before = Moment::of(&running::work(service).await?, since);
    service.background_rates().await.map_err(others)?;
    watch.until(before.at + running::sector(watch.plan)).await?;
    let done = Moment::of(&running::work(service).await?, since).since(&before);
    let mut rates = service.background_rates().await.map_err(others)?;
    rates.extend(rate(done.operations, done.time.as_secs_f64()));
    Ok(rates)
}
