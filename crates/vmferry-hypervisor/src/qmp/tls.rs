//! TLS for the migration stream, with QEMU's own credentials objects.

use std::path::PathBuf;

use serde_json::{Map, Value, json};

use super::guest::Guest;
use crate::HypervisorError;

/// The id of the credentials object that vmferry adds.
pub const TLS_OBJECT: &str = "vmferry-tls0";

/// Which end of the stream a guest is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsEndpoint {
    /// The source.
    Client,
    /// The destination.
    Server,
}

/// X.509 credentials on the guest's host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsSetup {
    /// A directory on the host of QEMU, readable by QEMU, with `ca-cert.pem` and
    /// `client-cert.pem`, `client-key.pem` or `server-cert.pem`, `server-key.pem`.
    pub dir: PathBuf,
    /// Which end this guest is.
    pub endpoint: TlsEndpoint,
    /// Whether the other end must show a certificate of the same authority.
    pub verify_peer: bool,
    /// At the source: the name in the destination's certificate, where it differs from the host the
    /// stream goes to.
    pub hostname: Option<String>,
}

impl Guest {
    /// Loads the credentials and makes migrations use them. On failure nothing is left changed.
    ///
    /// # Errors
    /// [`HypervisorError::Refused`] for certificates that are missing, unreadable or expired, and as
    /// [`Guest::request`].
    pub async fn enable_tls(&self, setup: &TlsSetup) -> Result<(), HypervisorError> {
        let endpoint = match setup.endpoint {
            TlsEndpoint::Client => "client",
            TlsEndpoint::Server => "server",
        };
        let mut properties = Map::new();
        properties.insert("dir".into(), json!(setup.dir.display().to_string()));
        properties.insert("endpoint".into(), json!(endpoint));
        properties.insert("verify-peer".into(), json!(setup.verify_peer));
        self.object_add("tls-creds-x509", TLS_OBJECT, properties)
            .await?;
        let hostname = setup.hostname.clone().unwrap_or_default();
        let used = self.set_tls_parameters(TLS_OBJECT, &hostname).await;
        if used.is_err() {
            // The first error is the one to tell.
            let _ = self.object_del(TLS_OBJECT).await;
        }
        used
    }

    /// Undoes [`Guest::enable_tls`]; harmless where it was not done.
    ///
    /// # Errors
    /// [`HypervisorError::Refused`] during a migration, and as [`Guest::request`].
    pub async fn disable_tls(&self) -> Result<(), HypervisorError> {
        if self.parameters().await?.tls_creds.as_deref() == Some(TLS_OBJECT) {
            self.set_tls_parameters("", "").await?;
        }
        let objects = self
            .request("qom-list", Some(json!({ "path": "/objects" })))
            .await?;
        let exists = super::field::list(&objects, &[])
            .iter()
            .any(|object| object.get("name").and_then(Value::as_str) == Some(TLS_OBJECT));
        if exists {
            self.object_del(TLS_OBJECT).await?;
        }
        Ok(())
    }

    async fn set_tls_parameters(&self, creds: &str, host: &str) -> Result<(), HypervisorError> {
        let mut parameters = Map::new();
        parameters.insert("tls-creds".into(), json!(creds));
        parameters.insert("tls-hostname".into(), json!(host));
        self.set_parameters(parameters).await
    }

    /// Adds an object (`object-add`).
    ///
    /// # Errors
    /// [`HypervisorError::Refused`] for an id in use or wrong properties, and as [`Guest::request`].
    pub async fn object_add(
        &self,
        kind: &str,
        id: &str,
        properties: Map<String, Value>,
    ) -> Result<(), HypervisorError> {
        // QEMU < 6.0 wants the properties in an object of their own.
        let mut arguments = if self.schema().await?.takes("object-add", "props") {
            Map::from_iter([("props".to_owned(), Value::Object(properties))])
        } else {
            properties
        };
        arguments.insert("qom-type".into(), json!(kind));
        arguments.insert("id".into(), json!(id));
        self.request("object-add", Some(Value::Object(arguments)))
            .await
            .map(drop)
    }

    /// Removes an object (`object-del`).
    ///
    /// # Errors
    /// [`HypervisorError::Refused`] where there is none or it is in use, and as [`Guest::request`].
    pub async fn object_del(&self, id: &str) -> Result<(), HypervisorError> {
        self.request("object-del", Some(json!({ "id": id })))
            .await
            .map(drop)
    }
}
