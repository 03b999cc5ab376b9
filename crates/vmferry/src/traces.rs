//! What every command that replays a trace takes from it: the part that is
//! sound, and the share of zero pages.

use std::borrow::Borrow;
use std::fs::File;
use std::io::{BufReader, Read as _, Take};
use std::path::Path;

use vmferry_core::{Ratio, SampledPage};
use vmferry_history::trace::{TraceError, TraceReader};

/// Share of zero pages, by what each page stands for; `None` of no page.
pub(crate) fn zero_share(
    pages: impl IntoIterator<Item = impl Borrow<SampledPage>>,
) -> Option<Ratio> {
    let (mut zero, mut all) = (0.0, 0.0);
    for page in pages {
        let page = page.borrow();
        all += page.weight;
        if page.zero {
            zero += page.weight;
        }
    }
    (all > 0.0).then(|| Ratio(zero / all))
}

/// Opens a trace as far as it is sound: the reader finds it cut off at
/// `damage`, the byte at which the first bad frame begins; `None` reads to the
/// end of the file.
///
/// # Errors
/// As [`TraceReader::open`].
pub(crate) fn open_before(
    path: &Path,
    damage: Option<u64>,
) -> Result<TraceReader<BufReader<Take<File>>>, TraceError> {
    let trace = path.display().to_string();
    match File::open(path) {
        Ok(file) => {
            let sound = file.take(damage.unwrap_or(u64::MAX));
            TraceReader::new(BufReader::new(sound), trace)
        }
        Err(source) => Err(TraceError::Open { trace, source }),
    }
}

/// The byte before which a trace can be used although reading it failed; `None`
/// where nothing can be.
pub(crate) fn sound_before(error: &TraceError) -> Option<u64> {
    match error {
        TraceError::Damaged {
            at_byte,
            whole_frames,
            ..
        } if *whole_frames > 0 => Some(*at_byte),
        TraceError::ClockBack { at_byte, .. } => Some(*at_byte),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use vmferry_core::Pages;

    use super::*;

    #[test]
    fn zero_pages_count_by_what_they_stand_for() {
        let page = |weight: f64, zero: bool| SampledPage {
            index: Pages(0),
            weight,
            zero,
        };
        let pages = [page(1.0, false), page(3.0, true), page(4.0, false)];
        assert_eq!(zero_share(pages), Some(Ratio(3.0 / 8.0)));
        // No minus before the 0.
        let none = zero_share([page(2.0, false)]).unwrap();
        assert!(none.0 == 0.0 && none.0.is_sign_positive());
        assert_eq!(zero_share([] as [SampledPage; 0]), None);
    }
}
