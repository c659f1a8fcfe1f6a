//! The one way to a database: pools, listeners and migrations all connect here.

use diesel::{ConnectionError, ConnectionResult};
use diesel_async::AsyncPgConnection;
use openssl::error::ErrorStack;
use openssl::ssl::{SslConnector, SslMethod, SslVerifyMode, SslVersion};
use openssl::x509::X509;
use openssl::x509::store::{X509Store, X509StoreBuilder};
use openssl::x509::verify::X509VerifyFlags;
use postgres_openssl::{MakeTlsConnector, set_postgresql_alpn};
use service_kit::Chain;
use service_kit::credentials::CaFile;
use tokio_postgres::Config;

use crate::DatabaseUrl;
use crate::database_url::{Encryption, Roots};

/// Opens connections to one database.
#[derive(Clone)]
pub(crate) struct Connector {
    config: Config,
    /// What is wrong with what is trusted is told to whoever connects.
    tls: Result<MakeTlsConnector, String>,
}

impl Connector {
    /// Reads what is trusted; nothing is connected.
    pub(crate) fn new(url: &DatabaseUrl, ca: Option<&CaFile>) -> Self {
        let (config, encryption) = url.resolve(ca);
        let tls = connector(&encryption).map(MakeTlsConnector::new);
        Self { config, tls }
    }

    /// Changes what is asked of the server.
    pub(crate) fn configure(mut self, change: impl FnOnce(&mut Config)) -> Self {
        change(&mut self.config);
        self
    }

    /// Opens a connection.
    pub(crate) async fn connect(&self) -> ConnectionResult<AsyncPgConnection> {
        let tls = self.tls.clone().map_err(ConnectionError::BadConnection)?;
        let connected = self.config.connect(tls).await;
        let (client, connection) =
            connected.map_err(|error| ConnectionError::BadConnection(explain(&error)))?;
        AsyncPgConnection::try_from_client_and_connection(client, connection).await
    }
}

fn connector(encryption: &Encryption) -> Result<SslConnector, String> {
    let unusable = |error: ErrorStack| error.to_string();
    // It trusts the authorities of the system, and verifies the name of the host.
    let mut connector = SslConnector::builder(SslMethod::tls_client()).map_err(unusable)?;
    connector.set_min_proto_version(Some(SslVersion::TLS1_2)).map_err(unusable)?;
    // What `sslnegotiation=direct` needs.
    set_postgresql_alpn(&mut connector).map_err(unusable)?;
    match encryption {
        Encryption::Verified(Roots::System) => {}
        Encryption::Verified(Roots::File(ca)) => connector.set_cert_store(trusted(ca)?),
        // With `None`, TLS is off.
        Encryption::Opportunistic | Encryption::None => connector.set_verify(SslVerifyMode::NONE),
    }
    Ok(connector.build())
}

/// A store with the certificates of the file, and no others.
fn trusted(ca: &CaFile) -> Result<X509Store, String> {
    let read = || {
        let mut store = X509StoreBuilder::new()?;
        // An intermediate authority, or the server's own certificate, may be trusted without its root.
        store.set_flags(X509VerifyFlags::PARTIAL_CHAIN)?;
        for certificate in ca.certificates() {
            store.add_cert(X509::from_der(certificate)?)?;
        }
        Ok(store.build())
    };
    read().map_err(|error: ErrorStack| {
        format!("{} has an unusable certificate: {error}", ca.path().display())
    })
}

/// An error of a connection with its causes, and what helps where that is not obvious.
fn explain(error: &tokio_postgres::Error) -> String {
    /// OpenSSL's texts for an unknown issuer (`X509_verify_cert_error_string`); version 1.1.1 writes one without its hyphen.
    const UNKNOWN_ISSUER: [&str; 5] = [
        "self-signed certificate",
        "self signed certificate",
        "unable to get issuer certificate",
        "unable to get local issuer certificate",
        "unable to verify the first certificate",
    ];
    let said = Chain(error).to_string();
    // Where nothing is verified, the texts are there too, beside any other fault.
    let unverified = said.contains("certificate verify failed");
    if unverified && UNKNOWN_ISSUER.iter().any(|words| said.contains(words)) {
        format!(
            "{said}: its certificate is not signed by the CA that is trusted \
             (DATABASE_CA_FILE, sslrootcert, or those of the system)"
        )
    } else {
        said
    }
}
