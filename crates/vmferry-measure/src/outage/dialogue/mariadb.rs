//! MariaDB's protocol, as far as a login without a password and `COM_PING` need it.

use super::{Speech, Turn};
use crate::outage::sample::ProbeError;

/// Long passwords, protocol 4.1, its authentication, and plugins for that.
const CAPABILITIES: u32 = 0x0000_0001 | 0x0000_0200 | 0x0000_8000 | 0x0008_0000;
const LONGEST_PACKET: u32 = 1 << 24;
/// utf8mb4_general_ci.
const CHARSET: u8 = 45;
/// The user, an answer to the challenge of no bytes (no password), and how it was made.
const LOGIN: &[u8] = b"bench\0\0mysql_native_password\0";

const OK: u8 = 0x00;
const ERR: u8 = 0xff;
const SWITCH: u8 = 0xfe;
const COM_PING: u8 = 0x0e;
const PROTOCOL: u8 = 10;

/// The longest packet that is taken: greetings have a hundred bytes.
const LONGEST: usize = 16 << 10;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Session {
    #[default]
    New,
    /// We have said who we are.
    Named,
    Open,
}

#[derive(Debug, Default)]
pub(super) struct Mariadb {
    session: Session,
}

impl Speech for Mariadb {
    fn is_ready(&self) -> bool {
        self.session == Session::Open
    }

    fn request(&mut self) -> Vec<u8> {
        packet(0, &[COM_PING])
    }

    fn read(&mut self, bytes: &[u8]) -> Result<(usize, Turn), ProbeError> {
        let Some(&[low, middle, high, number]) = bytes.first_chunk::<4>() else {
            return Ok((0, Turn::More));
        };
        let length = usize::from(low) | usize::from(middle) << 8 | usize::from(high) << 16;
        if !(1..=LONGEST).contains(&length) {
            return Err(ProbeError::NotUnderstood);
        }
        let Some(content) = bytes.get(4..4 + length) else {
            return Ok((0, Turn::More));
        };
        let next = number.wrapping_add(1);
        let turn = match (self.session, content[0]) {
            // Too many connections, a host that is not let in, a query that failed.
            (_, ERR) => return Err(ProbeError::Rejected),
            (Session::New, PROTOCOL) => {
                self.session = Session::Named;
                Turn::Say(packet(next, &login()))
            }
            // Another way to prove that there is no password: nothing.
            (Session::Named, SWITCH) => Turn::Say(packet(next, &[])),
            (Session::Named, OK) => {
                self.session = Session::Open;
                Turn::Ready
            }
            (Session::Open, OK) => Turn::Answered { closing: false },
            _ => return Err(ProbeError::NotUnderstood),
        };
        Ok((4 + length, turn))
    }
}

fn login() -> Vec<u8> {
    [
        &CAPABILITIES.to_le_bytes()[..],
        &LONGEST_PACKET.to_le_bytes(),
        &[CHARSET],
        &[0; 23],
        LOGIN,
    ]
    .concat()
}

/// A packet: three bytes of length, its number in the exchange, its content.
fn packet(number: u8, content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len())
        .unwrap_or(u32::MAX)
        .to_le_bytes();
    [&length[..3], &[number], content].concat()
}

/// A greeting as a server sends it.
#[cfg(test)]
pub(super) fn greeting() -> Vec<u8> {
    let content = b"\x0a5.5.5-10.11.19-MariaDB\0\x01\0\0\0abcdefgh\0\xfe\xff\x2d\x02\0\xff\x81";
    packet(0, content)
}

#[cfg(test)]
mod tests {
    use super::super::Dialogue;
    use super::super::tests::hear;
    use super::*;
    use crate::outage::sample::Protocol;

    fn said(turns: &[Turn]) -> &[u8] {
        match turns {
            [Turn::Say(words)] => words,
            other => panic!("not one word but {other:?}"),
        }
    }

    #[test]
    fn it_logs_in_without_a_password_and_pings() {
        let mut mariadb = Dialogue::in_protocol(Protocol::Mariadb);
        let turns = hear(&mut mariadb, &greeting(), 6);
        let words = said(&turns);
        assert_eq!(words[3], 1, "the second packet");
        assert_eq!(words.len(), 4 + usize::from(words[0]));
        let turns = hear(&mut mariadb, &packet(2, b"\xfemysql_native_password\0x"), 5);
        assert_eq!(said(&turns), [0, 0, 0, 3]);
        let ok = packet(4, &[0, 0, 0, 2, 0, 0, 0]);
        assert_eq!(hear(&mut mariadb, &ok, 1), [Turn::Ready]);
        assert_eq!(mariadb.request(), [1, 0, 0, 0, 0x0e]);
        assert_eq!(
            hear(&mut mariadb, &ok, 4),
            [Turn::Answered { closing: false }]
        );
    }

    #[test]
    fn refusals_and_nonsense_are_told() {
        let of = |bytes: &[u8]| Dialogue::in_protocol(Protocol::Mariadb).take(bytes);
        let full = packet(0, b"\xff\x10\x04Too many connections");
        assert_eq!(of(&full), Err(ProbeError::Rejected));
        assert_eq!(
            of(b"220 mail.example ESMTP\r\n"),
            Err(ProbeError::NotUnderstood)
        );
        assert_eq!(of(&packet(0, &[])), Err(ProbeError::NotUnderstood));
    }
}
