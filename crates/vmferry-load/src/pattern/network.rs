//! Network use: sends, exchanges, throws away or echoes, by UDP or TCP.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream, UdpSocket};
use std::thread;
use std::time::Duration;

use vmferry_load::spec::{Network, Protocol, Role};

use super::Run;
use crate::clock::{self, MILLISECOND, Nanos};
use crate::pace::Pacer;
use crate::random::Random;
use crate::tally::Tally;

/// How long an exchange by UDP waits for its echo before it counts it as lost.
const LOST: Duration = Duration::from_millis(200);

/// Between attempts to reach a peer.
const RETRY: Nanos = 100 * MILLISECOND;

/// Prepares a sender or a server.
pub(crate) fn build(network: Network) -> Result<Box<dyn Run>, String> {
    let server = |port, answer| -> Result<Box<dyn Run>, String> {
        Server::bind(network.protocol, port, answer)
            .map(|server| Box::new(server) as Box<dyn Run>)
            .map_err(|error| format!("network: cannot serve on port {port}: {error}"))
    };
    let client = |peer, echo| -> Box<dyn Run> {
        let mut message = vec![0; network.size as usize];
        let mut random = Random::new(network.size);
        message.fill_with(|| random.word() as u8);
        Box::new(Client {
            protocol: network.protocol,
            peer,
            echo,
            message,
            pacer: Pacer::new(network.rate, network.size),
        })
    };
    match network.role {
        Role::Send(peer) => Ok(client(peer, false)),
        Role::Exchange(peer) => Ok(client(peer, true)),
        Role::Sink(port) => server(port, false),
        Role::Echo(port) => server(port, true),
    }
}

/// Sends to a peer. Connects again when the connection breaks; meanwhile the work stands still.
struct Client {
    protocol: Protocol,
    peer: SocketAddrV4,
    echo: bool,
    message: Vec<u8>,
    pacer: Pacer,
}

enum Connection {
    Udp(UdpSocket),
    Tcp(TcpStream),
}

impl Connection {
    fn open(protocol: Protocol, peer: SocketAddrV4) -> io::Result<Self> {
        Ok(match protocol {
            Protocol::Udp => {
                let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
                socket.connect(peer)?;
                socket.set_read_timeout(Some(LOST))?;
                Self::Udp(socket)
            }
            Protocol::Tcp => {
                let stream = TcpStream::connect(peer)?;
                stream.set_nodelay(true)?;
                Self::Tcp(stream)
            }
        })
    }

    /// Sends one message, waits for its echo if asked; returns the bytes that went and came.
    fn exchange(&mut self, message: &[u8], echo: bool, buffer: &mut [u8]) -> io::Result<u64> {
        match self {
            Self::Udp(socket) => {
                let sent = socket.send(message)?;
                let received = if echo {
                    socket.recv(buffer).unwrap_or(0)
                } else {
                    0
                };
                Ok((sent + received) as u64)
            }
            Self::Tcp(stream) => {
                stream.write_all(message)?;
                if !echo {
                    return Ok(message.len() as u64);
                }
                stream.read_exact(&mut buffer[..message.len()])?;
                Ok(2 * message.len() as u64)
            }
        }
    }
}

impl Run for Client {
    fn run(&mut self, until: Option<Nanos>, tally: &Tally) {
        tally.set_aim(self.pacer.limit());
        self.pacer.restart();
        let mut buffer = vec![0; self.message.len()];
        let mut connection = None;
        loop {
            let now = clock::now();
            if until.is_some_and(|until| now >= until) {
                return;
            }
            let due = self.pacer.due(now);
            if due > now {
                clock::sleep_until(until.map_or(due, |until| due.min(until)));
                continue;
            }
            let mut open = match connection.take() {
                Some(open) => open,
                None => match Connection::open(self.protocol, self.peer) {
                    Ok(open) => open,
                    Err(_) => {
                        clock::sleep_until(now + RETRY);
                        continue;
                    }
                },
            };
            match open.exchange(&self.message, self.echo, &mut buffer) {
                Ok(bytes) => {
                    // Only what is sent is paced.
                    self.pacer.did(1);
                    tally.add(bytes, bytes);
                    connection = Some(open);
                }
                Err(_) => clock::sleep_until(now + RETRY),
            }
        }
    }
}

/// Serves a port from the moment it is bound.
pub(crate) struct Server {
    socket: Socket,
    answer: bool,
}

enum Socket {
    Udp(UdpSocket),
    Tcp(TcpListener),
}

impl Server {
    pub(crate) fn bind(protocol: Protocol, port: u16, answer: bool) -> io::Result<Self> {
        let any = (Ipv4Addr::UNSPECIFIED, port);
        let socket = match protocol {
            Protocol::Udp => Socket::Udp(UdpSocket::bind(any)?),
            Protocol::Tcp => Socket::Tcp(TcpListener::bind(any)?),
        };
        Ok(Self { socket, answer })
    }

    /// Serves for ever; one thread for each TCP connection.
    pub(crate) fn serve(&self, tally: &Tally) {
        match &self.socket {
            Socket::Udp(socket) => {
                let mut buffer = vec![0; 65_536];
                loop {
                    let Ok((count, from)) = socket.recv_from(&mut buffer) else {
                        continue;
                    };
                    let sent = if self.answer {
                        socket.send_to(&buffer[..count], from).ok()
                    } else {
                        None
                    };
                    let bytes = (count + sent.unwrap_or(0)) as u64;
                    tally.add(bytes, bytes);
                }
            }
            Socket::Tcp(listener) => thread::scope(|threads| {
                for stream in listener.incoming().flatten() {
                    // A thread that cannot be started closes its connection, which the peer sees.
                    let _closed = thread::Builder::new()
                        .stack_size(64 << 10)
                        .spawn_scoped(threads, || serve_stream(stream, self.answer, tally));
                }
            }),
        }
    }
}

impl Run for Server {
    /// Serves for ever: a server is never a phase.
    fn run(&mut self, _: Option<Nanos>, tally: &Tally) {
        self.serve(tally);
    }
}

fn serve_stream(mut stream: TcpStream, answer: bool, tally: &Tally) {
    let mut buffer = vec![0; 16 << 10];
    while let Ok(count @ 1..) = stream.read(&mut buffer) {
        if answer && stream.write_all(&buffer[..count]).is_err() {
            return;
        }
        let bytes = count as u64 * if answer { 2 } else { 1 };
        tally.add(bytes, bytes);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use vmferry_load::spec::Rate;

    use super::*;

    /// Exchanges with a server of our own over loopback until something came back.
    fn exchange(protocol: Protocol, role: fn(SocketAddrV4) -> Role, answer: bool) -> (u64, u64) {
        let server = Server::bind(protocol, 0, answer).unwrap();
        let port = match &server.socket {
            Socket::Udp(socket) => socket.local_addr().unwrap().port(),
            Socket::Tcp(listener) => listener.local_addr().unwrap().port(),
        };
        let served = Arc::new(Tally::default());
        let serving = Arc::clone(&served);
        thread::spawn(move || server.serve(&serving));
        let peer = SocketAddrV4::new(Ipv4Addr::LOCALHOST, port);
        let rate = Rate::BytesPerSecond(100_000);
        let mut client = build(Network {
            role: role(peer),
            protocol,
            size: 1000,
            rate,
        })
        .unwrap();
        let tally = Tally::default();
        while served.bytes() == 0 {
            client.run(Some(clock::now() + 20 * MILLISECOND), &tally);
        }
        assert_eq!(tally.aim(), Some(100_000));
        (tally.bytes(), served.bytes())
    }

    #[test]
    fn what_is_sent_arrives() {
        for protocol in [Protocol::Udp, Protocol::Tcp] {
            let (sent, arrived) = exchange(protocol, Role::Send, false);
            assert!(
                sent > 0 && sent % 1000 == 0 && arrived <= sent,
                "{sent} {arrived}"
            );
        }
    }

    #[test]
    fn an_echo_comes_back() {
        for protocol in [Protocol::Udp, Protocol::Tcp] {
            let (exchanged, served) = exchange(protocol, Role::Exchange, true);
            assert!(exchanged >= 2000 && exchanged % 2000 == 0, "{exchanged}");
            assert!(served % 2000 == 0, "{served}");
        }
    }

    #[test]
    fn a_taken_port_is_told() {
        let taken = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
        let port = taken.local_addr().unwrap().port();
        let network = Network {
            role: Role::Echo(port),
            protocol: Protocol::Tcp,
            size: 16,
            rate: Rate::Unlimited,
        };
        let error = build(network).err().unwrap();
        assert!(error.contains(&format!("port {port}")), "{error}");
    }
}
