//! A guest watched at two paces, as under a small budget.

use vmferry_core::{Observation, PageHistory};

/// Of what was seen of a guest, only every 16th page at its own pace, and all of them at one look
/// in 40.
pub(crate) fn two_paces(seen: &Observation) -> Observation {
    let history = seen.page_history.as_ref().expect("a history of pages");
    let mut few: Vec<_> = history.pages().iter().copied().step_by(16).collect();
    few.iter_mut().for_each(|page| page.weight *= 16.0);
    let mut quick = PageHistory::new(few);
    let mut slow = PageHistory::new(history.pages().to_vec());
    let pages = 0..history.pages().len();
    for look in 0..history.intervals() {
        let end = history.interval_us(look).1;
        let dirty = pages.clone().step_by(16).enumerate();
        let dirty = dirty.filter(|(_, page)| history.is_dirty(look, *page));
        quick.push(end, dirty.map(|(position, _)| position));
        if look % 40 == 39 {
            let written = |page: &usize| (look - 39..=look).any(|k| history.is_dirty(k, *page));
            slow.push(end, pages.clone().filter(written));
        }
    }
    Observation {
        page_history: Some(quick),
        slow_page_history: Some(slow),
        ..seen.clone()
    }
}
