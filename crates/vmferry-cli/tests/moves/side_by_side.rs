//! Several moves at once.

use vmferry::core::Place;
use vmferry::document::{MigrateReport, MoveList};
use vmferry::testbed::Side;

use super::{FAST, LIMITS, LOAD, MIDDLE, SLOW, plain};
use crate::site::{self, Site, in_mid_move, small};

#[tokio::test(flavor = "multi_thread")]
async fn two_testbeds_and_two_guests_of_one() {
    let ((one, a), (other, c)) =
        tokio::join!(Site::with_guest(SLOW, LOAD), Site::with_guest(SLOW, LOAD));
    let b = one.start(small("second", LOAD)).await;
    let guests = [(&one, &a), (&one, &b), (&other, &c)];
    let mut moves = Vec::new();
    for (site, guest) in guests {
        let before = site.before(guest).await;
        moves.push((before, site.migrate(guest, &plain(&LIMITS)).spawn()));
    }
    for (_, guest) in guests {
        in_mid_move(guest, MIDDLE).await;
    }
    // A guest is moved once at a time, whoever asks and however.
    for arguments in [
        plain(&[]).as_slice(),
        &["--window", "1s", "--bandwidth", "50Mbit/s"],
    ] {
        one.migrate(&a, arguments)
            .run()
            .await
            .expect(20, &["another vmferry", "vmferry watch"]);
    }
    for site in [&one, &other] {
        site.bed.set_rate(Some(FAST)).await.expect("a faster link");
    }
    let mut ended = Vec::new();
    for ((site, guest), (before, running)) in guests.into_iter().zip(moves) {
        let report: MigrateReport = running.finish().await.moved(&[]).json();
        assert_eq!(report.place, Place::RunningAtDestination);
        ended.push((site, guest, before));
    }
    for (site, guest, before) in ended {
        site::runs_only_at(guest, Side::Destination).await;
        site.is_put_back(guest, &before).await;
    }
    for (site, number) in [(&one, 2), (&other, 1)] {
        let list: MoveList = site
            .vmferry(&["history", "list", "-o", "json"])
            .run()
            .await
            .expect(0, &[])
            .json();
        assert_eq!(list.moves.len(), number, "{list:?}");
    }
}
