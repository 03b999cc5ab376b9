//! Documents from web servers: one GET, an answer in JSON.

use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::Value;
use ureq::config::ConfigBuilder;
use ureq::typestate::AgentScope;
use ureq::{Agent, Error};

use super::{PowerError, Trust};

/// Longest document that is read; a reading takes some kilobytes.
const LONGEST: u64 = 4 << 20;

/// An address `http://USER@HOST:PORT/PATH`, in its parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address {
    /// `http://HOST:PORT`, without the user.
    pub(super) server: String,
    /// The user, where one is named.
    pub(super) user: Option<String>,
    /// What follows the server: empty, or from `/` or `?` on.
    pub(super) path: String,
}

impl Address {
    /// Says what is wrong with a text that is none.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let (scheme, rest) = text
            .split_once("://")
            .filter(|(scheme, _)| matches!(*scheme, "http" | "https"))
            .ok_or("an address begins with http:// or https://")?;
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        let (user, host) = match authority.rsplit_once('@') {
            Some((user, host)) => (Some(user.to_owned()), host),
            None => (None, authority),
        };
        if host.is_empty() {
            return Err("the host is missing".to_owned());
        }
        if user.as_ref().is_some_and(|user| user.contains(':')) {
            return Err("a password does not belong into an address, which others can see; give USER@HOST and put it into VMFERRY_REDFISH_PASSWORD".to_owned());
        }
        Ok(Self {
            server: format!("{scheme}://{host}"),
            user,
            path: path.to_owned(),
        })
    }
}

/// The `Authorization` of a user with a password.
pub(super) fn login(user: &str, password: &str) -> String {
    let both = BASE64_STANDARD.encode(format!("{user}:{password}"));
    format!("Basic {both}")
}

/// A server that is asked again and again, over one connection.
#[derive(Clone, Debug)]
pub(super) struct Server {
    meter: String,
    agent: Agent,
    /// User and password, for every request.
    login: Option<String>,
}

impl Server {
    pub(super) fn new(
        meter: &str,
        login: Option<String>,
        timeout: Duration,
        trust: &Trust,
    ) -> Result<Self, PowerError> {
        let config = trusting(Agent::config_builder(), meter, trust)?
            .timeout_global(Some(timeout))
            .user_agent(concat!("vmferry/", env!("CARGO_PKG_VERSION")))
            // A baseboard controller is reached directly, whatever the environment says.
            .proxy(None)
            // What a server says of its refusal is worth more than the number.
            .http_status_as_error(false)
            .build();
        Ok(Self {
            meter: meter.to_owned(),
            agent: config.new_agent(),
            login,
        })
    }

    /// The document at an address `http://HOST/...`.
    pub(super) async fn document(&self, url: &str) -> Result<Value, PowerError> {
        let (this, wanted) = (self.clone(), url.to_owned());
        tokio::task::spawn_blocking(move || this.get(&wanted))
            .await
            .unwrap_or_else(|error| Err(self.failed(url, error.to_string())))
    }

    fn get(&self, url: &str) -> Result<Value, PowerError> {
        if cfg!(not(feature = "https")) && url.starts_with("https:") {
            let problem = "this vmferry was built without HTTPS; build it with `--features https`, or reach the server through a local proxy over plain HTTP";
            return Err(self.failed(url, problem.to_owned()));
        }
        let request = self.agent.get(url).header("Accept", "application/json");
        let request = match &self.login {
            Some(login) => request.header("Authorization", login),
            None => request,
        };
        let mut answer = request
            .call()
            .map_err(|error| self.failed(url, explain(&error)))?;
        let text = answer
            .body_mut()
            .with_config()
            .limit(LONGEST)
            .read_to_string()
            .map_err(|error| self.failed(url, explain(&error)))?;
        let document = serde_json::from_str(&text);
        let status = answer.status();
        if !status.is_success() {
            let said = document.ok().and_then(|document| complaint(&document));
            return Err(self.failed(url, refusal(status.as_u16(), said)));
        }
        document.map_err(|error| self.failed(url, format!("the answer is no JSON ({error})")))
    }

    fn failed(&self, url: &str, problem: String) -> PowerError {
        PowerError::Server {
            meter: self.meter.clone(),
            url: url.to_owned(),
            problem,
        }
    }
}

/// What a server says of its refusal: Prometheus in `error`, Redfish below it.
fn complaint(document: &Value) -> Option<String> {
    let error = &document["error"];
    [error, &error["message"]]
        .iter()
        .find_map(|said| said.as_str())
        .map(str::to_owned)
}

fn refusal(status: u16, said: Option<String>) -> String {
    let said = said.map_or_else(String::new, |said| format!(" ({said})"));
    match status {
        401 | 403 => format!(
            "the server wants another user or password{said}; give redfish:http://USER@HOST/... and VMFERRY_REDFISH_PASSWORD"
        ),
        404 => format!("the server has no such document{said}; check the path"),
        status => format!("the server answers with status {status}{said}"),
    }
}

fn explain(error: &Error) -> String {
    let said = error.to_string();
    if said.contains("invalid peer certificate") {
        format!(
            "{said}; name a file with its certificate by SSL_CERT_FILE, or trust whoever answers: redfish+insecure:URL"
        )
    } else {
        said
    }
}

type Builder = ConfigBuilder<AgentScope>;

/// Without HTTPS nothing has to be trusted.
#[cfg(not(feature = "https"))]
fn trusting(builder: Builder, _meter: &str, _trust: &Trust) -> Result<Builder, PowerError> {
    Ok(builder)
}

#[cfg(feature = "https")]
fn trusting(builder: Builder, meter: &str, trust: &Trust) -> Result<Builder, PowerError> {
    use std::path::Path;
    use std::sync::Arc;
    use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};

    let tls = TlsConfig::builder()
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()));
    let path = match trust {
        Trust::Anyone => return Ok(builder.tls_config(tls.disable_verification(true).build())),
        Trust::File(path) => path.as_path(),
        // Debian's and Red Hat's; where neither is there nobody is trusted.
        Trust::System => match SYSTEM_ROOTS.iter().map(Path::new).find(|p| p.exists()) {
            Some(path) => path,
            None => Path::new("/dev/null"),
        },
    };
    let pem = std::fs::read(path).map_err(|source| PowerError::File {
        meter: meter.to_owned(),
        path: path.to_owned(),
        source,
    })?;
    let roots = parse_pem(&pem).filter_map(|item| match item {
        Ok(PemItem::Certificate(certificate)) => Some(certificate),
        _ => None,
    });
    let roots: Vec<_> = roots.collect();
    Ok(builder.tls_config(tls.root_certs(RootCerts::new_with_certs(&roots)).build()))
}

#[cfg(feature = "https")]
const SYSTEM_ROOTS: [&str; 2] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_in_parts() {
        let parts = |text: &str| {
            let Address { server, user, path } = Address::parse(text).unwrap();
            (server, user.unwrap_or_default(), path)
        };
        let owned = |[a, b, c]: [&str; 3]| (a.to_owned(), b.to_owned(), c.to_owned());
        assert_eq!(
            parts("https://root@bmc:8443/redfish/v1"),
            owned(["https://bmc:8443", "root", "/redfish/v1"])
        );
        assert_eq!(
            parts("http://[::1]:9090?query=up"),
            owned(["http://[::1]:9090", "", "?query=up"])
        );
        for wrong in [
            "bmc",
            "ftp://bmc/",
            "http://",
            "http:///x",
            "http://u:p@bmc/",
        ] {
            assert!(Address::parse(wrong).is_err(), "{wrong}");
        }
        // RFC 7617.
        assert_eq!(
            login("Aladdin", "open sesame"),
            "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="
        );
    }
}
