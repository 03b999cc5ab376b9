//! A web server for documents of ours.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

type Documents = Arc<Mutex<BTreeMap<String, String>>>;

/// Serves documents by their paths; where a login is set, to who gives it.
pub(crate) struct Web {
    address: SocketAddr,
    documents: Documents,
}

impl Web {
    pub(crate) fn start(login: Option<&'static str>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("its address");
        let documents = Documents::default();
        let served = Arc::clone(&documents);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let served = Arc::clone(&served);
                std::thread::spawn(move || serve(&stream, &served, login));
            }
        });
        Self { address, documents }
    }

    /// `HOST:PORT`.
    pub(crate) fn host(&self) -> String {
        self.address.to_string()
    }

    pub(crate) fn set(&self, path: &str, document: &str) {
        let mut documents = self.documents.lock().expect("documents");
        documents.insert(path.to_owned(), document.to_owned());
    }
}

fn serve(stream: &TcpStream, documents: &Documents, login: Option<&str>) {
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    while let Some(request) = lines.next() {
        let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
        let mut given = None;
        for header in lines.by_ref().take_while(|line| !line.is_empty()) {
            if let Some((name, value)) = header.split_once(": ")
                && name.eq_ignore_ascii_case("authorization")
            {
                given = Some(value.to_owned());
            }
        }
        let found = documents.lock().expect("documents").get(&path).cloned();
        let (status, body) = match found {
            _ if login.is_some() && given.as_deref() != login => {
                ("401 Unauthorized", String::new())
            }
            Some(body) => ("200 OK", body),
            None => ("404 Not Found", String::new()),
        };
        let answer = format!(
            "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        if (&*stream).write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}
