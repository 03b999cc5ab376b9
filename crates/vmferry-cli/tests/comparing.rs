//! `history import|imports|forget` and `compare`, without a hypervisor.

mod comparing {
    mod csv;
    mod imports;
    mod leaderboard;
    mod live;
    mod place;
}
