//! ICMP echo, as far as a probe needs it (RFC 792).

/// The payload: whose it is, and which question.
const PAYLOAD: usize = 16;
const HEADER: usize = 8;

const ECHO_REPLY: u8 = 0;
const ECHO_REQUEST: u8 = 8;

/// An echo request. The whole number of the question travels in the payload: the sequence field
/// wraps after 65536.
pub(super) fn request(nonce: u64, number: u64) -> [u8; HEADER + PAYLOAD] {
    let mut packet = [0; HEADER + PAYLOAD];
    packet[0] = ECHO_REQUEST;
    packet[4..6].copy_from_slice(&(nonce as u16).to_be_bytes());
    packet[6..8].copy_from_slice(&(number as u16).to_be_bytes());
    packet[8..16].copy_from_slice(&nonce.to_be_bytes());
    packet[16..24].copy_from_slice(&number.to_be_bytes());
    let sum = checksum(&packet);
    packet[2..4].copy_from_slice(&sum.to_be_bytes());
    packet
}

/// The number of the question that a packet answers; `None` for anything but an answer to us.
/// `header` says whether the packet begins with that of IP, as on a raw socket.
pub(super) fn answered(packet: &[u8], header: bool, nonce: u64) -> Option<u64> {
    let packet = if header {
        let length = usize::from(packet.first()? & 0x0f) * 4;
        packet.get(length..)?
    } else {
        packet
    };
    if packet.first() != Some(&ECHO_REPLY) {
        return None;
    }
    let word = |at: usize| Some(u64::from_be_bytes(packet.get(at..at + 8)?.try_into().ok()?));
    (word(HEADER)? == nonce).then(|| word(HEADER + 8)).flatten()
}

/// The Internet checksum (RFC 1071) of an even number of bytes.
fn checksum(bytes: &[u8]) -> u16 {
    let mut sum: u32 = bytes
        .chunks_exact(2)
        .map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1]))
        .sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_request_s_checksum_makes_the_whole_zero() {
        let packet = request(0x1234_5678_9abc_def0, 70_000);
        assert_eq!(checksum(&packet), 0);
        assert_eq!(&packet[..2], &[8, 0]);
        // RFC 1071's own example: the sum is ddf2, its complement is sent.
        assert_eq!(
            checksum(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]),
            !0xddf2
        );
    }

    #[test]
    fn answers_are_told_from_the_rest() {
        let mut reply = request(7, 70_000).to_vec();
        assert_eq!(answered(&reply, false, 7), None, "a request");
        reply[0] = ECHO_REPLY;
        assert_eq!(answered(&reply, false, 7), Some(70_000));
        assert_eq!(answered(&reply, false, 8), None, "another probe's");
        let mut raw = vec![0x45; 20];
        raw.extend(&reply);
        assert_eq!(answered(&raw, true, 7), Some(70_000));
        assert_eq!(answered(&raw[..40], true, 7), None, "cut off");
    }

    proptest! {
        #[test]
        fn any_bytes_are_read(bytes in prop::collection::vec(any::<u8>(), 0..80), header: bool) {
            let number = answered(&bytes, header, 1);
            prop_assert!(number.is_none() || bytes.len() >= HEADER + PAYLOAD);
        }
    }
}
