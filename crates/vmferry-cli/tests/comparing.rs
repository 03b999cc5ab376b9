//! `history import|imports|forget` and `compare`, without a hypervisor.

mod ended;
#[path = "site/schema.rs"]
mod schema;

mod comparing {
    mod csv;
    mod imports;
    mod leaderboard;
    mod live;
    mod place;
}
